"""A trained network in every format that `export` knows: differences, agreement, accuracy, bytes, milliseconds.

    python -m benchmarks.export --weights=runs/pictures --output=results/export/emoji

writes emoji.csv and emoji.md, a row a format and one for the network itself; the last line is one JSON object. Other
flags are `export`'s. The files themselves are not kept.
"""

import argparse
import contextlib
import csv
import io
import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.commands import export
from mobilenet_v2.export.formats import FORMATS

COLUMNS = ("format", "bytes", "milliseconds", "accuracy", "agreement", "max_difference", "largest_logit", "pictures")


def rows_of(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The network's row, then one for each export, of what their JSON says. The network was timed beside each."""
    first = told[0]["comparison"]
    times = sorted(one["cost"]["network"]["milliseconds_on_one_core"] for one in told)
    network = {
        "format": "network",
        "bytes": told[0]["cost"]["network"]["bytes"],
        "milliseconds": times[len(times) // 2],
        "accuracy": first["source_accuracy"],
    }
    return [{**first, **network, "agreement": 1.0, "max_difference": 0.0}, *map(_row, told)]


def _row(told: dict[str, Any]) -> dict[str, Any]:
    cost = told["cost"]["file"]
    return {
        **told["comparison"],
        "format": told["format"],
        "bytes": cost["bytes"],
        "milliseconds": cost["milliseconds_on_one_core"],
    }


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """A row a format; accuracy and agreement as shares."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The same for a person."""
    lines = [
        "| format | bytes | ms, one core | accuracy | same top-1 | largest difference of logits |",
        "|---|" + 5 * "--:|",
    ]
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        cells = [f"{row['bytes']:,}", f"{row['milliseconds']:.2f}", accuracy, f"{row['agreement']:.2%}"]
        lines.append(f"| {' | '.join([row['format'], *cells, format(row['max_difference'], '.2g')])} |")
    return "\n".join([*lines, "", f"On {rows[0]['pictures']}; logits of at most {rows[0]['largest_logit']:.3g}.", ""])


def main() -> None:
    """Exports, and writes what it measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the table's files, without their endings")
    parser.add_argument("--formats", default=",".join(FORMATS), help="some of them")
    given, rest = parser.parse_known_args()
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.formats.split(","):
            file = pathlib.Path(folder) / f"{name}{FORMATS[name].suffix}"
            with contextlib.redirect_stdout(io.StringIO()):
                export.main(["export", f"--format={name}", f"--output={file}", *rest])
            told.append(json.loads(file.with_name(f"{file.name}.json").read_text()))
    rows = rows_of(told)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.with_suffix(".csv").write_text(csv_text(rows))
    given.output.with_suffix(".md").write_text(markdown(rows))
    print(json.dumps({"versions": told[-1]["versions"], "rows": rows}))


if __name__ == "__main__":
    main()
