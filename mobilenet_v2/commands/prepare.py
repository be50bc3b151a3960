"""Prepares a config's data set, so that training starts at once, and says what it holds.

Ours (digits, image_folder, cifar10, imagenette, imagenet2012) need no TensorFlow, nor do a few of TFDS's own; another
gets one line with the command that prepares it where TensorFlow is installed. What is prepared is left as it is. A
preparation that was stopped writes everything anew, but decodes no picture of `image_folder` again that it found
readable; two at once wait for one another.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mobilenet_v2 import command_line
from mobilenet_v2.config import validate, validate_classes
from mobilenet_v2.data.builders.image_folder import UNREADABLE, ImageFolder, layout_of, left_out
from mobilenet_v2.data.sources import Dataset, open_configured

_SHOWN = 10  # classes in the table


def main(argv: Sequence[str]) -> None:
    """`prepare --config=FILE [--config.FIELD=VALUE …] [--json]`."""
    flags = command_line.parse(argv, __doc__ or "", required=["config"], switches=["json"])
    config = flags.config
    validate(config)
    dataset = open_configured(config.data, prepare=True, check=functools.partial(validate_classes, config))
    described = describe(dataset)
    if flags.json:
        print(json.dumps(described))
    else:
        _print(described)


def describe(dataset: Dataset) -> dict[str, Any]:
    """Name, folder, classes, and of each split the examples and bytes; of `image_folder` also what was left out."""
    builder = dataset.builder
    described: dict[str, Any] = {
        "name": builder.info.full_name,
        "folder": str(builder.data_dir),
        "classes": list(dataset.class_names),
        "splits": {
            name: {"examples": split.num_examples, "bytes": int(split.num_bytes)}
            for name, split in builder.info.splits.items()
        },
    }
    if isinstance(builder, ImageFolder):
        described["unreadable"] = left_out(builder)
        described["other_files"] = list(layout_of(builder.builder_config).other_files)
    return described


def _print(described: dict[str, Any]) -> None:
    table = Table("split", "examples", "MB")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, split in described["splits"].items():
        table.add_row(name, f"{split['examples']:,}", f"{split['bytes'] / 1e6:,.1f}")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{described['name']} is prepared in {described['folder']}")
    console.print(table)
    classes = described["classes"]
    more = ", …" if len(classes) > _SHOWN else ""
    console.print(f"{len(classes)} classes: {', '.join(classes[:_SHOWN])}{more}")
    if unreadable := described.get("unreadable"):
        where = pathlib.Path(described["folder"]) / UNREADABLE
        console.print(f"left out {len(unreadable)} that can't be read, named in {where}")
    if others := described.get("other_files"):
        console.print(f"left out {len(others)} files that are no pictures, {others[0]!r} first")
