"""A network of width 0.1, whose files are small, and its weights under every source's names."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES, MobileNetV2
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.sources import BY_NAME
from tests.weights import formula

CLASSES = 5


def quiet(line: str) -> None:
    """A report that nobody reads."""


def network(**fields: Any) -> MobileNetV2:
    """Of width 0.1 and the "shrink" rule: 128 features."""
    return MobileNetV2(**{"num_classes": CLASSES, "width_multiplier": 0.1, "head_rule": "shrink", **fields})


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Our shapes by path."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    tree: Any = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    return {name: leaf.shape for name, leaf in flatten_dict(tree, sep="/").items()}


@functools.cache
def _shapes(width: float) -> dict[str, tuple[int, ...]]:
    return shapes(network(stages=PAPER_STAGES, width_multiplier=width))


def width(source: str) -> float:
    """0.1; 0.35 for HuggingFace, whose narrower networks lack a shortcut."""
    return 0.35 if source == "huggingface" else 0.1


def arrays(source: str) -> Arrays:
    """The weights under a source's names."""
    return formula.weights(BY_NAME[source], _shapes(width(source)))
