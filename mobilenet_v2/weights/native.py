"""Our own files: `NAME.safetensors` with the variables by path, and `NAME.json` with the network's fields."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from mobilenet_v2.config_fields import NETWORK_FIELDS, SEPARABLE_STAGE_FIELDS, STAGE_FIELDS
from mobilenet_v2.errors import WeightsError, nearest
from mobilenet_v2.models import activations
from mobilenet_v2.models.build import NETWORKS, attributes_of, build_model
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.weights import safetensors_file
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.json_file import read_object
from mobilenet_v2.weights.preprocessing import checked

FAMILY = "mobilenet_v2 "
FORMAT = f"{FAMILY}1"
_ROWS = {"stages": STAGE_FIELDS, "separable_stages": SEPARABLE_STAGE_FIELDS}
# How a network is computed is no matter of its file; files of before state it, and it is believed.
_NOT_WRITTEN = ("frozen", "formulation", "remat")


class Description(NamedTuple):
    """What `NAME.json` says: the network's fields, where the weights came from, how images are made ready, the classes.

    `class_names` is empty where it does not say.
    """

    model: dict[str, Any]
    source: str
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] = ()


def write(
    path: pathlib.Path,
    model: Any,
    arrays: Arrays,
    source: str,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Writes the pair: first the description, without which the weights would not be read.

    Raises:
      WeightsError: if a field of the network is none that a config can state, or it has another number of classes.
    """
    if class_names and len(class_names) != model.num_classes:
        raise WeightsError(f"class_names are {len(class_names)}, must be {model.num_classes}, as the network's classes")
    description: dict[str, Any] = {"format": FORMAT, "source": source, "model": _to_json(model)}
    if preprocessing is not None:
        description["preprocessing"] = preprocessing.stated()
    if class_names:
        description["class_names"] = list(class_names)
    part = path.with_name(f".{path.stem}.json.part")
    part.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path.with_suffix(".json"))
    safetensors_file.write(path, arrays, {"format": FORMAT})


def read_description(path: pathlib.Path) -> Description:
    """The description beside the weights at `path`.

    Raises:
      WeightsError: if there is none, or it states what no config may.
    """
    beside = path.with_suffix(".json")
    try:
        content = read_object(beside)
        model, source = dict(content["model"]), str(content["source"])
        version, preprocessing = content["format"], content.get("preprocessing")
    except FileNotFoundError as error:
        raise WeightsError(f"{path.name!r} needs {beside.name!r} beside it, which is not there") from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{beside.name!r} is damaged, must describe the network of {path.name!r}: {error!r}"
        ) from error
    if version != FORMAT:
        raise WeightsError(f"{beside.name!r} has format {version!r}, must be {FORMAT!r}")
    fields = {name: _from_json(value) for name, value in model.items()}
    for name, value in fields.items():
        _check_field(beside.name, name, value)
    for name in ("padding", "batch_norm_epsilon", "activation", "width_multiplier", "num_classes"):
        if name not in fields:
            raise WeightsError(f"{beside.name!r} does not state {name}, must state every field of its network")
    stated = None if preprocessing is None else checked(beside.name, preprocessing)
    return Description(fields, source, stated, _class_names(beside.name, content.get("class_names", []), fields))


def check_blocks(file: str, description: Description, arrays: Arrays) -> None:
    """Refuses more blocks than there are arrays, before they are traced, which takes time.

    Raises:
      WeightsError: if there are more.
    """
    name = "separable_stages" if description.model.get("name") == "mobilenet_v1" else "stages"
    blocks = sum(row[-2] for row in description.model.get(name, ()))
    if blocks > len(arrays):
        raise WeightsError(f"{file!r} holds {len(arrays)} arrays, must hold those of {blocks} blocks")


def build(file: str, description: Description) -> nn.Module:
    """The described network.

    Raises:
      WeightsError: if the fields describe none.
    """
    try:
        return build_model(description.model)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file!r} is described by fields of no network: {error}") from error


def _class_names(file: str, names: Any, fields: Mapping[str, Any]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError(f"{file!r} states class_names {str(names)[:80]!r}, must be a list of text")
    if names and len(names) != fields["num_classes"]:
        raise WeightsError(
            f"{file!r} states {len(names)} class_names, must state one for each of {fields['num_classes']}"
        )
    return tuple(names)


def _check_field(file: str, name: str, value: Any) -> None:
    if name not in NETWORK_FIELDS:
        raise WeightsError(f"{file!r} has no field {name!r} to state{nearest(name, NETWORK_FIELDS)}")
    field = NETWORK_FIELDS[name]
    if not field.accepts(value):
        raise WeightsError(f"{file!r} states {name} {value!r}, must be {field.allowed}")
    for row in value if name in _ROWS else ():
        _check_row(file, name, row)


def _check_row(file: str, name: str, row: tuple[Any, ...]) -> None:
    columns = _ROWS[name]
    if len(row) != len(columns):
        raise WeightsError(f"{file!r} states a row {row!r} of {name}, must have {', '.join(columns)}")
    for (column, field), value in zip(columns.items(), row, strict=True):
        if not field.accepts(value):
            raise WeightsError(f"{file!r} states {column} {value!r} in {name}, must be {field.allowed}")


def _to_json(model: Any) -> dict[str, Any]:
    """The network's fields as a config states them."""
    fields = {name: _plain(getattr(model, name)) for name in sorted(attributes_of(type(model)))}
    for name in _NOT_WRITTEN:
        del fields[name]
    fields["name"] = next(name for name, network in NETWORKS.items() if network is type(model))
    fields["dtype"] = jnp.dtype(model.dtype).name
    fields["activation"] = activations.name_of(model.activation)
    for name, value in list(fields.items()):
        field = NETWORK_FIELDS.get(name)
        if field is not None and not field.accepts(value):
            raise WeightsError(f"{name} is {value!r}, must be {field.allowed} to be written")
        if field is None and value == getattr(type(model), name):
            del fields[name]
        elif field is None:
            raise WeightsError(f"the network has {name} {value!r}, which no config can state")
    return fields


def _plain(value: Any) -> Any:
    return tuple(_plain(inner) for inner in value) if isinstance(value, tuple | list) else value


_from_json = _plain
