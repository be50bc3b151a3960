"""Says what pictures show: the likeliest classes of each, by trained weights.

predict cat.jpg photographs/ --weights=timm/mobilenetv2_100.ra_in1k takes files, folders, which are searched through,
and - for a list on the standard input, a name a line. --weights is a file, a TensorFlow checkpoint's prefix, the folder
of a run, or OWNER/NAME on the HuggingFace hub; images are made ready as they were in training. --replica says which of
a run's replicas, from 0 on. --top=N shows so many classes (5); --json prints a line of JSON for each picture. One that
can't be read is told and left out, and the exit status is 1.
"""

import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from mobilenet_v2 import command_line
from mobilenet_v2.commands.flagged_weights import load_classifier
from mobilenet_v2.data.picture_layout import is_picture
from mobilenet_v2.errors import ConfigError, DataError, UnreadableError
from mobilenet_v2.serving.photographs import prepare
from mobilenet_v2.serving.prediction import BATCH, Prediction, predict_prepared, preprocessing_of

_MOST = 1000  # classes shown


def main(argv: Sequence[str]) -> None:
    """`predict IMAGE… --weights=WEIGHTS [--top=5] [--image_size=N] [--json] …`."""
    words: list[str] = []
    flags = command_line.parse(
        argv,
        __doc__ or "",
        required=["weights"],
        optional=["top", "image_size", "replica", "revision"],
        switches=["offline", "json"],
        words=words,
    )
    top = command_line.integer("top", flags.top, _MOST) or 5
    if not words:
        raise ConfigError("no picture is named; must be files, folders, or - for a list on the standard input")
    model, variables = load_classifier(flags, _to_stderr)
    preprocessing_of(model)
    unreadable = 0
    for names, pixels, failed in _batches(model, _pictures(words)):
        unreadable += failed
        for name, predictions in zip(
            names, predict_prepared(model, variables, pixels, top) if names else (), strict=True
        ):
            _print(name, predictions, flags.json)
    if unreadable:
        raise UnreadableError(f"{unreadable} pictures can't be read, see above")


def _batches(model: object, names: Iterable[str]) -> Iterator[tuple[list[str], list[np.ndarray], int]]:
    """(names, pixels, how many between them can't be read), at most 32 at a time."""
    preprocessing = preprocessing_of(model)
    read: list[str] = []
    pixels: list[np.ndarray] = []
    failed = 0
    for name in names:
        try:
            pixels.append(prepare(name, preprocessing))
            read.append(name)
        except DataError as error:
            failed += 1
            _to_stderr(f"error: {error}")
        if len(read) == BATCH:
            yield read, pixels, failed
            read, pixels, failed = [], [], 0
    yield read, pixels, failed


def _pictures(words: Sequence[str]) -> Iterator[str]:
    """Each file; of folders, those that are pictures by their endings, in order."""
    for word in words:
        if word == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        elif os.path.isdir(word):
            yield from (
                str(path) for path in sorted(pathlib.Path(word).rglob("*")) if is_picture(path) and path.is_file()
            )
        else:
            yield word


def _print(name: str, predictions: Sequence[Prediction], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"image": name, "classes": [prediction._asdict() for prediction in predictions]}), flush=True)
        return
    table = Table(name, "%", title_justify="left")
    table.columns[1].justify = "right"
    for prediction in predictions:
        table.add_row(prediction.name, f"{prediction.probability:.1%}".rstrip("%"))
    Console(highlight=False, markup=False).print(table)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
