"""FILE.json beside an exported file: all that whoever uses the file elsewhere must know, and what was measured."""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.export.exporting import Cost, Result
from mobilenet_v2.export.formats import FORMATS
from mobilenet_v2.export.pictures import Pictures
from mobilenet_v2.models.variants import Provenance
from mobilenet_v2.weights.preprocessing import describe


def description(
    path: pathlib.Path,
    format_name: str,
    provenance: Provenance,
    num_classes: int,
    source: Sequence[str],
    calibration: Pictures | None,
    result: Result,
) -> dict[str, Any]:
    """What the JSON says; `source` is what was reported of the weights."""
    preprocessing = provenance.preprocessing
    assert preprocessing is not None
    batch = 1 if format_name.startswith("tflite") else "batch"
    side = preprocessing.crop_size
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "format": format_name,
        "source": list(source),
        "input": {
            "shape": [batch, side, side, len(preprocessing.mean)],
            "axes": "batch, height, width, channels: RGB, or grey where there is one",
            "values": describe(preprocessing),
            "type": "int8" if format_name == "tflite_int8" else "float32",
        },
        "output": {"shape": [batch, num_classes], "values": "logits, before softmax"},
        "preprocessing": preprocessing.stated(),
        "class_names": list(provenance.class_names),
        "calibration": None if calibration is None else calibration.what,
        "comparison": dataclasses.asdict(result.comparison),
        "cost": {"file": _cost(result.file), "network": _cost(result.source)},
        "processor": platform.processor() or platform.machine(),
        "versions": _versions(format_name),
    }


def write(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes it.

    Raises:
      ConfigError: if it can't be written.
    """
    try:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{str(path)!r} can't be written: {error.strerror}") from error


def _cost(cost: Cost) -> dict[str, Any]:
    return {"bytes": cost.bytes, "milliseconds_on_one_core": round(cost.milliseconds, 3)}


def _versions(format_name: str) -> dict[str, str]:
    """Of the distributions that the packages came in."""
    distributions = importlib.metadata.packages_distributions()
    packages = ("jax", *FORMATS[format_name].needs)
    names = [distributions.get(package, [package])[0] for package in packages]
    return {name: importlib.metadata.version(name) for name in names}
