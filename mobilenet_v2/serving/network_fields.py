"""The fields of a network that a notebook states, by the rules of `config.model`."""

import pathlib
from collections.abc import Mapping
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.config_fields import NETWORK_FIELDS
from mobilenet_v2.config_kinds import boolean, choice, integer
from mobilenet_v2.config_rules import check_network
from mobilenet_v2.errors import ConfigError, nearest
from mobilenet_v2.models.build import NETWORKS, attributes_of
from mobilenet_v2.models.network import Frozen
from mobilenet_v2.models.variants import VARIANTS, find_variant
from mobilenet_v2.weights import hub

# What a config says elsewhere, or not at all.
_FIELDS = {
    **NETWORK_FIELDS,
    "batch_norm": boolean(),
    "batch_norm_groups": integer(1),
    "frozen": choice(*get_args(Frozen)),
}


def network_fields(name: Any, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What `build_model` makes the network `name` of, with the fields that are `stated`.

    Lists are taken for tuples, NumPy's numbers for Python's, a type of JAX's or NumPy's for its name.

    Raises:
      ValueError: if there is no such network or field, or a value is one that `config.model` may not have.
    """
    plain = {field: _plain(value) for field, value in stated.items()}
    if "dtype" in plain and not isinstance(plain["dtype"], str):
        plain["dtype"] = _name_of_dtype(plain["dtype"])
    for field, value in plain.items():
        if field not in _FIELDS:
            raise ValueError(f"no network has a field {field!r}{nearest(field, _FIELDS)}")
        if not _FIELDS[field].accepts(value):
            raise ValueError(f"{field} is {value!r}, must be {_FIELDS[field].allowed}")
    fields = {**_named(name), **plain}
    try:
        check_network(ConfigDict({**_defaults(), **fields}))
    except ConfigError as error:
        raise ValueError(str(error).replace("config.model.", "")) from None
    return fields


def _named(name: Any) -> dict[str, Any]:
    """The fields that a network's name stands for."""
    if not isinstance(name, str):
        raise ValueError(f"the network's name is {name!r}, must be text, as 'mobilenet_v2' or 'timm/mobilenetv2_100'")
    if name in NETWORKS:
        return {"name": name}
    if name in VARIANTS:
        return dict(find_variant(name).model)
    if (pathlib.Path(name) / "checkpoints").is_dir():
        raise ValueError(f"no network is called {name!r}: that is a run, and a run is loaded by load_pretrained")
    if pathlib.Path(name).is_file():
        raise ValueError(f"no network is called {name!r}: that is a file, and a file is loaded by load_pretrained")
    said = f": there are {', '.join(NETWORKS)}, and the published ones of mobilenet_v2.models.variants"
    if hub.is_name(name):
        said = ", and if weights on the HuggingFace hub are: its weights are loaded by load_pretrained"
    raise ValueError(f"no network is called {name!r}{said}{nearest(name, [*NETWORKS, *VARIANTS])}")


def _defaults() -> dict[str, Any]:
    """What the networks have where nothing is stated."""
    return {field: getattr(network, field) for network in NETWORKS.values() for field in attributes_of(network)}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(inner) for inner in value)
    return value.item() if isinstance(value, np.generic) else value


def _name_of_dtype(value: Any) -> Any:
    try:
        return jnp.dtype(value).name
    except TypeError:
        return value
