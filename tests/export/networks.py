"""A small network of random weights, that says how images are made ready, and pictures of noise."""

from typing import Any

import numpy as np

from mobilenet_v2.export.pictures import Pictures
from mobilenet_v2.models.variants import Preprocessing, Provenance
from tests.models import random_networks

SIDE, CLASSES = 16, 5
PREPROCESSING = Preprocessing("whole_image", "area", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), SIDE)
PROVENANCE = Provenance("x", PREPROCESSING, ("a", "b", "c", "d", "e"))


def network(**fields: Any) -> tuple[Any, Any]:
    """The network and its variables; its logits are of a size of ten."""
    model = random_networks.small(num_classes=CLASSES, provenance=PROVENANCE, **fields)
    return model, random_networks.random_variables(model, images(1))


def images(count: int) -> np.ndarray:
    """Normalised."""
    return np.random.default_rng(3).normal(size=(count, SIDE, SIDE, 3)).astype(np.float32)


def pictures(count: int, labels: bool = False) -> Pictures:
    random = np.random.default_rng(4)
    pixels = random.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return Pictures(pixels, random.integers(0, CLASSES, count).astype(np.int32) if labels else None, "noise")
