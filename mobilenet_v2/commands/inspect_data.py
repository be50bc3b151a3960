"""Writes a PNG sheet of training pictures with their classes, and prints each class's count in every split.

The pictures are the first --count (64 unless given) that training sees, after all augmentation: the host's, or the
devices' where `config.data.residence` is "device", then erasing, mixup and CutMix. Below a mixed picture stand both its
classes, each with its share. A class that a split lacks, and a picture that can't be read, get a warning.
"""

import functools
import json
import pathlib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from mobilenet_v2 import command_line
from mobilenet_v2.config import validate, validate_classes
from mobilenet_v2.data.inspection import class_counts, sheet, warnings
from mobilenet_v2.data.sources import open_configured
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training.seen import first_seen

_MOST = 1024  # pictures on a sheet


def main(argv: Sequence[str]) -> None:
    """`inspect_data --config=FILE --output=SHEET.png [--count=64] [--config.FIELD=VALUE …] [--json]`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["config", "output"], optional=["count"], switches=["json"]
    )
    config, output = flags.config, _output(flags.output)
    count = command_line.integer("count", flags.count, _MOST) or 64
    validate(config)
    dataset = open_configured(config.data, check=functools.partial(validate_classes, config))
    examples = first_seen(dataset.split(config.data.train_split), config, count)
    sheet(examples, dataset.class_names).save(output, "PNG")
    counts = class_counts(dataset, config)
    found = warnings(counts, examples, dataset.class_names)
    if flags.json:
        classes = {name: dict(zip(counts, row, strict=True)) for name, row in _rows(dataset.class_names, counts)}
        print(json.dumps({"output": str(output), "classes": classes, "warnings": found}))
    else:
        _print(dataset.class_names, counts, [*(f"warning: {text}" for text in found), f"wrote {output}"])


def _rows(class_names: Sequence[str], counts: dict[str, list[int]]) -> list[tuple[str, tuple[int, ...]]]:
    return list(zip(class_names, zip(*counts.values(), strict=True), strict=True))


def _print(class_names: Sequence[str], counts: dict[str, list[int]], lines: Sequence[str]) -> None:
    table = Table("class", *counts)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, numbers in _rows(class_names, counts):
        table.add_row(name, *(f"{number:,}" for number in numbers))
    table.add_section()
    table.add_row("total", *(f"{sum(numbers):,}" for numbers in counts.values()))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    console.print("\n".join(lines))


def _output(text: str) -> pathlib.Path:
    path = pathlib.Path(text)
    if path.suffix.lower() != ".png" or path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--output is {text!r}, must be a name ending in .png in a folder that exists")
    return path
