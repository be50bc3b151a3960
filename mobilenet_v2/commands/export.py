"""Writes a trained network as a file for other programs, and says how far it computes what the network does.

export --weights=runs/pictures --format=onnx_int8 --output=net.onnx. --weights is a file, a TensorFlow checkpoint's
prefix, the folder of a run, or OWNER/NAME on the HuggingFace hub. Formats are stablehlo, which JAX reads; onnx and
onnx_int8 for ONNX Runtime; tflite and tflite_int8 for LiteRT. Batch norm is folded into the convolutions. Images are
normalised, [batch, height, width, channels]; net.onnx.json beside the file says how they are made ready.

--pictures=FOLDER are those that file and network are compared on; without, the run's validation split, or noise.
--calibration=FOLDER are those that an 8-bit format takes its ranges from; without, the run's training split, or those
of --pictures. --num_pictures=1000 and --num_calibration=256 are the most that are taken. --image_size=N is for weights
that were made for another size than their source's usual one; --replica=N is which of a run's replicas.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags
from rich.table import Table

from mobilenet_v2 import command_line, reporting
from mobilenet_v2.config_fields import MOST_REPLICAS
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.export import pictures as real
from mobilenet_v2.export.description import description, write
from mobilenet_v2.export.exporting import LEAST_CALIBRATION, export_network
from mobilenet_v2.export.formats import check_output, find_format
from mobilenet_v2.export.pictures import Pictures
from mobilenet_v2.models.variants import Provenance
from mobilenet_v2.serving.prediction import preprocessing_of
from mobilenet_v2.serving.pretrained import load_pretrained
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.trained import is_run

_OPTIONAL = ("pictures", "calibration", "num_pictures", "num_calibration", "image_size", "replica", "revision")
_MOST, _NOISE = 1_000_000, 32


def main(argv: Sequence[str]) -> None:
    """`export --weights=WEIGHTS --format=FORMAT --output=FILE [--pictures=FOLDER] …`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["weights", "format", "output"], optional=_OPTIONAL, switches=["offline", "json"]
    )
    image_size = command_line.integer("image_size", flags.image_size, command_line.MOST_PIXELS)
    most = command_line.integer("num_pictures", flags.num_pictures, _MOST) or 1000
    calibrated = find_format(flags.format).calibrated
    most_calibration = command_line.integer("num_calibration", flags.num_calibration, _MOST, LEAST_CALIBRATION) or 256
    output = pathlib.Path(flags.output)
    _, beside = check_output(output, flags.format)
    lines: list[str] = []
    model, variables = load_pretrained(
        flags.weights,
        image_size=image_size,
        revision=flags.revision,
        offline=flags.offline,
        replica=command_line.integer("replica", flags.replica, MOST_REPLICAS - 1, least=0),
        report=lines.append,
    )
    if not model.num_classes:
        raise ConfigError(f"--weights is {flags.weights!r}, whose network has no classifier, must have one")
    preprocessing_of(model)
    known = model.provenance
    pictures = _pictures(flags, known, most)
    calibration = _calibration(flags, known, most_calibration) if calibrated else None
    for line in lines:
        print(line, file=sys.stderr)
    result = export_network(output, flags.format, model, variables, pictures, calibration)
    told = description(output, flags.format, known, model.num_classes, lines, calibration, result)
    write(beside, told)
    if flags.json:
        print(json.dumps(told))
    else:
        _print(told, f"wrote {output} and {beside}")


def _pictures(flags: absl_flags.FlagValues, known: Provenance, most: int) -> Pictures:
    """What file and network are compared on."""
    preprocessing: Any = known.preprocessing
    if flags.pictures:
        return real.of_folder(flags.pictures, preprocessing, most, known.class_names)
    if is_run(flags.weights):
        config = run_directory.read_config(pathlib.Path(flags.weights))
        return real.of_split(config, config.data.validation_split, preprocessing, most)
    return real.noise(preprocessing, _NOISE)


def _calibration(flags: absl_flags.FlagValues, known: Provenance, most: int) -> Pictures:
    preprocessing: Any = known.preprocessing
    if not flags.calibration and is_run(flags.weights):
        config = run_directory.read_config(pathlib.Path(flags.weights))
        found = real.of_split(config, config.data.train_split, preprocessing, most)
    elif flags.calibration or flags.pictures:
        found = real.of_folder(flags.calibration or flags.pictures, preprocessing, most)
    else:
        raise ConfigError(
            f"--format={flags.format} needs pictures to calibrate with: name a folder by --calibration, as --weights "
            f"is {flags.weights!r}, which is no run"
        )
    if len(found.pixels) < LEAST_CALIBRATION:
        raise ConfigError(
            f"calibration pictures are {found.what}, must be at least {LEAST_CALIBRATION}: name more by --calibration"
        )
    return found


def _print(told: dict[str, Any], last: str) -> None:
    compared = told["comparison"]
    table = Table("", "bytes", "ms, one core", "accuracy", "same top-1", "largest difference of logits")
    for column in table.columns[1:]:
        column.justify = "right"
    differs = f"{compared['max_difference']:.2g} of {compared['largest_logit']:.3g}"
    for name, cost, accuracy, rest in (
        ("network", told["cost"]["network"], compared["source_accuracy"], ("", "")),
        (told["format"], told["cost"]["file"], compared["accuracy"], (f"{compared['agreement']:.2%}", differs)),
    ):
        shown = "" if accuracy is None else f"{accuracy:.2%}"
        table.add_row(name, f"{cost['bytes']:,}", f"{cost['milliseconds_on_one_core']:.2f}", shown, *rest)
    console = reporting.wide_console()
    console.print(table)
    console.print(f"on {compared['pictures']}; {last}", highlight=False, soft_wrap=True)
