"""Variables as files: our own pair, or under the names of timm or Keras for their users."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from mobilenet_v2.errors import WeightsError, nearest
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.weights import native, safetensors_file
from mobilenet_v2.weights.architecture import check_shapes, function_of
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import Source, to_foreign
from mobilenet_v2.weights.sources import BY_NAME

# Whose names a file may have, and how its name must end.
SUFFIXES = {"ours": ".safetensors", "timm": ".safetensors", "torchvision": ".safetensors", "keras": ".h5"}


def save_weights(
    path: str | pathlib.Path,
    model: nn.Module,
    variables: Any,
    *,
    names: str = "ours",
    source: str = "mobilenet_v2",
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
    report: Callable[[str], None] = print,
) -> list[pathlib.Path]:
    """Writes `variables` of `model`; returns the files. Read back, they are the same bit for bit.

    Args:
      path: ends in .safetensors; in .h5 for Keras: a legacy file, for `load_weights`.
      names: "ours" writes NAME.json beside it; "timm", "torchvision" and "keras" are for those libraries.
      source: where the weights came from, noted in NAME.json.
      preprocessing: what images must be like, noted there too.
      class_names: by logit, noted there too; none where they are not known.
      report: gets a line where the other library's network, built with its defaults, would compute something else.

    Raises:
      WeightsError: if the path or the names can't be, or the variables are not the network's.
    """
    path = check_output(path, names)
    arrays = {name: np.asarray(leaf) for name, leaf in flatten_dict(variables, sep="/").items()}
    check_shapes(path.name, model, arrays, "the network that it shall be of")
    if names == "ours":
        native.write(path, model, arrays, source, preprocessing, class_names)
        return [path, path.with_suffix(".json")]
    foreign = BY_NAME[names]
    repeats = tuple(stage.repeats for stage in getattr(model, "stages", ()))
    renamed = to_foreign(foreign, arrays, repeats)
    _report_differences(model, foreign, report)
    if names == "keras":
        _write_h5(path, foreign, renamed, repeats)
    else:
        safetensors_file.write(path, renamed, {"format": "pt"})
    return [path]


def check_output(path: str | pathlib.Path, names: str) -> pathlib.Path:
    """The path that weights under these names may be written to.

    Raises:
      WeightsError: if the path or the names can't be.
    """
    path = pathlib.Path(path)
    if names not in SUFFIXES:
        raise WeightsError(f"names is {names!r}, must be one of {', '.join(SUFFIXES)}{nearest(names, SUFFIXES)}")
    if path.suffix != SUFFIXES[names]:
        raise WeightsError(f"output {str(path)!r} must end in {SUFFIXES[names]} for the names of {names}")
    if path.name.endswith(".weights.h5"):
        raise WeightsError(
            f"output {str(path)!r} must not end in .weights.h5, which Keras 3 reads as a format of its own"
        )
    if not path.parent.is_dir():
        raise WeightsError(f"output {str(path)!r} must be in a folder that exists")
    return path


def _report_differences(model: nn.Module, source: Source, report: Callable[[str], None]) -> None:
    """Arrays don't carry padding, epsilon and their like, under others of which weights lose their accuracy."""
    theirs = function_of(build_model(source.fields()))
    for field, ours in function_of(model).items():
        if ours != theirs[field]:
            report(f"these weights need {field} {ours!r}; {source.name}'s own network has {theirs[field]!r}")


def _write_h5(path: pathlib.Path, source: Source, arrays: Arrays, repeats: tuple[int, ...]) -> None:
    """Keras's legacy format: a group a layer, whose attributes list its weights in order."""
    layers: dict[str, list[str]] = {}
    for entry in source.entries(repeats):
        layers.setdefault(entry.foreign.split("/")[0], []).append(entry.foreign)
    part = path.with_name(f".{path.name}.part")
    with h5py.File(part, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"jax", b"3.0.0"
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group.create_dataset(name, data=arrays[name])
    part.replace(path)
