"""Whether variables are a network's own."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

_MUST = "must be {'params': …, 'batch_stats': …}, as load_pretrained and init return them"


def misfit(model: Any, variables: Any, channels: int) -> str | None:
    """What is wrong with `variables`, for images of so many channels: the first array that differs, or None."""
    if not isinstance(variables, Mapping):
        return f"variables are of type {type(variables).__name__}, {_MUST}"
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    tree: Any = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    if missing := [name for name in tree if name not in variables]:
        return f"variables hold {', '.join(map(str, variables)) or 'nothing'} and no {missing[0]}, {_MUST}"
    expected: dict[str, Any] = flatten_dict(tree, sep="/")
    found: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    for name, leaf in expected.items():
        if name not in found:
            return f"variables are another network's: {name} is missing, must be {list(leaf.shape)}"
        if np.shape(found[name]) != leaf.shape:
            shape = list(np.shape(found[name]))
            return f"variables are another network's: {name} is {shape}, must be {list(leaf.shape)}"
    return None
