"""Exports every finished run of a sweep and says what each format costs each point in accuracy.

export_sweep --workdir=runs/activation --formats=onnx,onnx_int8 --output=results/activation_int8 scores each run's files
beside its networks on all of its test split, or validation split, and writes runs.csv and table.md. The runs must have
their checkpoints. --num_calibration=256 training pictures show 8-bit formats which values occur.
"""

import pathlib
from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.ablation import sweep_directory
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.export import sweep_table
from mobilenet_v2.export.exporting import LEAST_CALIBRATION

_MOST = 1_000_000


def main(argv: Sequence[str]) -> None:
    """`export_sweep --workdir=FOLDER --output=FOLDER [--formats=onnx_int8] [--num_calibration=256]`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["workdir", "output"], optional=["formats", "num_calibration"]
    )
    count = command_line.integer("num_calibration", flags.num_calibration, _MOST, LEAST_CALIBRATION) or 256
    workdir, output = pathlib.Path(flags.workdir), pathlib.Path(flags.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {str(output)!r} can't be written: {error.strerror}") from error
    scored = sweep_table.score(workdir, (flags.formats or "onnx_int8").split(","), count)
    sweep = sweep_directory.read(workdir) or {}
    text = sweep_table.markdown(scored, sweep["baseline"])
    (output / "runs.csv").write_text(sweep_table.csv_text(scored))
    (output / "table.md").write_text(text)
    print(f"{text}\nwrote {output / 'runs.csv'} and {output / 'table.md'}")
