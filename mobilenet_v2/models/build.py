"""Networks from the fields of `config.model`."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage


def build_model(fields: Mapping[str, Any]) -> MobileNetV2:
    """The network that `fields` describe: `MobileNetV2`'s attributes, stages as plain tuples, dtype by name."""
    stages = tuple(Stage(*row) for row in fields["stages"])
    attributes: dict[str, Any] = {**fields, "stages": stages, "dtype": jnp.dtype(fields["dtype"])}
    return MobileNetV2(**attributes)
