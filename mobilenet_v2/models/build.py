"""Networks from the fields of `config.model`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from mobilenet_v2.models.activations import activation
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1, SeparableStage
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage
from mobilenet_v2.models.network import Network

NETWORKS: dict[str, type[Network]] = {"mobilenet_v2": MobileNetV2, "mobilenet_v1": MobileNetV1}


def build_model(fields: Mapping[str, Any]) -> Any:
    """The network that `fields` describe.

    Args:
      fields: "name", "mobilenet_v2" unless it is given, and attributes of that network: stages as plain tuples,
        `dtype` and `activation` by name. Those that only the other network has are left out; what is missing is as
        the network's own default.

    Raises:
      ValueError: if there is no network of that name, or no network has a field.
      TypeError: if a row of stages has too few or too many columns.
    """
    attributes: dict[str, Any] = dict(fields)
    name = attributes.pop("name", "mobilenet_v2")
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    known = {key: attributes_of(network) for key, network in NETWORKS.items()}
    unknown = set(attributes).difference(*known.values())
    if unknown:
        raise ValueError(f"no network has a field {sorted(unknown)[0]!r}")
    makers: dict[str, Callable[[Any], Any]] = {
        "stages": lambda rows: tuple(Stage(*row) for row in rows),
        "separable_stages": lambda rows: tuple(SeparableStage(*row) for row in rows),
        "dtype": jnp.dtype,
        "activation": activation,
    }
    own = {key: value for key, value in attributes.items() if key in known[name]}
    return NETWORKS[name](**{key: makers[key](value) if key in makers else value for key, value in own.items()})


def attributes_of(network: type[Network]) -> set[str]:
    """The names of a network's own fields, without Linen's and what says nothing of the network itself."""
    return {field.name for field in dataclasses.fields(network)} - {"parent", "name", "provenance"}
