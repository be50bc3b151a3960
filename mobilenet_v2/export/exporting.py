"""A network written as a file, read back, and compared with itself."""

import dataclasses
import pathlib
import tempfile
from typing import Any

import jax

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.export import stablehlo
from mobilenet_v2.export.comparison import Comparison, compare
from mobilenet_v2.export.formats import Format, find_format, part_of
from mobilenet_v2.export.inference import for_inference, run_source
from mobilenet_v2.export.latency import median_milliseconds
from mobilenet_v2.export.pictures import Pictures, normalised
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.prediction import preprocessing_of

LEAST_CALIBRATION = 16
# A float file further off than this share of the largest logit does not hold the network.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Cost:
    """Bytes, and milliseconds of one image on one core (the median of some)."""

    bytes: int
    milliseconds: float


@dataclasses.dataclass(frozen=True)
class Result:
    """What was written, beside the network that it was made of: as it evaluates here, by XLA, in float32."""

    comparison: Comparison
    file: Cost
    source: Cost


def export_network(
    path: pathlib.Path,
    format_name: str,
    model: Any,
    variables: Any,
    pictures: Pictures,
    calibration: Pictures | None = None,
) -> Result:
    """Writes `path`, whole or not at all.

    Args:
      format_name: of `formats.FORMATS`.
      model, variables: as `load_pretrained` returns them.
      pictures: that file and network are compared on.
      calibration: for 8-bit formats, pictures that show which values occur.

    Raises:
      ConfigError: if there is no such format, it lacks a package or pictures, or the file is not the network.
      WeightsError: if the network does not say how images are made ready for it.
    """
    preprocessing = preprocessing_of(model)
    part = part_of(path)
    try:
        comparison = _write_and_compare(part, format_name, model, variables, pictures, calibration)
        shape = (preprocessing.crop_size, preprocessing.crop_size, len(preprocessing.mean))
        file = Cost(part.stat().st_size, median_milliseconds(part, format_name, shape))
        result = Result(comparison, file, _cost_of_source(model, variables, shape))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return result


def compare_export(
    format_name: str, model: Any, variables: Any, pictures: Pictures, calibration: Pictures | None = None
) -> Comparison:
    """As `export_network`, of a file that nobody keeps."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "file"
        return _write_and_compare(path, format_name, model, variables, pictures, calibration)


def _write_and_compare(
    path: pathlib.Path,
    format_name: str,
    model: Any,
    variables: Any,
    pictures: Pictures,
    calibration: Pictures | None,
) -> Comparison:
    kind, preprocessing = find_format(format_name), preprocessing_of(model)
    _write(path, kind, model, variables, preprocessing, calibration)
    found = compare(run_source(model, variables), kind.code().load(path), pictures, preprocessing)
    if not kind.calibrated and found.max_difference > _TOLERANCE * found.largest_logit:
        raise ConfigError(
            f"--format={format_name} does not hold this network: logits differ by {found.max_difference:.3g}, of at "
            f"most {found.largest_logit:.3g}; nothing was written"
        )
    return found


def _write(
    path: pathlib.Path,
    kind: Format,
    model: Any,
    variables: Any,
    preprocessing: Preprocessing,
    calibration: Pictures | None,
) -> None:
    found = 0 if calibration is None else len(calibration.pixels)
    if kind.calibrated and found < LEAST_CALIBRATION:
        raise ConfigError(f"calibration pictures are {found}, must be at least {LEAST_CALIBRATION}")
    images = normalised(calibration.pixels, preprocessing) if kind.calibrated and calibration else None
    network = for_inference(model, variables, preprocessing.crop_size, len(preprocessing.mean))
    kind.code().write(path, network, images)


def _cost_of_source(model: Any, variables: Any, image_shape: tuple[int, int, int]) -> Cost:
    """Of the variables as float32, and of the network as XLA computes it here."""
    size = sum(leaf.size * 4 for leaf in jax.tree.leaves(variables))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "source"
        stablehlo.write_as_is(path, model, variables, image_shape)
        return Cost(size, median_milliseconds(path, "stablehlo", image_shape))
