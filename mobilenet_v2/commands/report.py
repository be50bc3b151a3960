"""Makes table and figures of a sweep's runs, those that are finished, in the sweep's folder.

report --workdir=runs/t writes results.csv (a row a run), table.md, report.html (table and figures in one file, to be
opened in a browser), and each figure as PNG and PDF: accuracy.*, accuracy_by_multiply_adds.*, learning_curves.*.
"""

import pathlib
from collections.abc import Sequence

from mobilenet_v2 import command_line
from mobilenet_v2.ablation import figures, page, results, table
from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.training.disk import write_atomically


def main(argv: Sequence[str]) -> None:
    """`report --workdir=FOLDER`."""
    flags = command_line.parse(argv, __doc__ or "", required=["workdir"])
    workdir = pathlib.Path(flags.workdir)
    found = results.read(workdir)
    drawn = figures.draw(found)
    svgs = {name: figures.svg_with_titles(figure, titles) for name, (figure, titles) in drawn.items()}
    text = table.markdown(found)
    try:
        for name, written in (
            ("results.csv", table.csv_text(found)),
            ("table.md", text),
            ("report.html", page.page(found, svgs)),
        ):
            write_atomically(workdir / name, written)
        for name, (figure, _) in drawn.items():
            for kind in ("png", "pdf"):
                (workdir / f"{name}.{kind}").write_bytes(figures.save(figure, kind))
    except OSError as error:
        raise WorkdirError(f"workdir {str(workdir)!r} can't be written: {error.strerror}") from error
    print(text)
    print(f"wrote {workdir / 'report.html'}, and beside it results.csv, table.md and the figures")
