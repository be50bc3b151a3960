"""Runs notebooks and saves them with their outputs: `python -m notebooks.execute [NAME …]`, all of them without a name.

A notebook is two files that jupytext keeps alike: NAME.py is what people edit and review, NAME.ipynb has the outputs
and figures. Here NAME.py is run, in an empty folder that vanishes, and NAME.ipynb written anew.
"""

import os
import pathlib
import sys
import tempfile
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parent
_SECONDS = 600  # for a cell, after which it is given up


def names() -> list[str]:
    """The notebooks, in the order in which they are meant to be read."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


def read(name: str) -> Any:
    """What NAME.py says, without outputs."""
    return jupytext.read(FOLDER / f"{name}.py")


def execute(name: str, folder: pathlib.Path) -> Any:
    """NAME.py with its outputs, run in `folder` by this Python and with the package beside it.

    Raises:
      CellExecutionError: with the traceback of the cell that failed.
    """
    notebook = read(name)
    repository = str(FOLDER.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([repository, os.environ.get("PYTHONPATH", "")])}
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", record_timing=False, coalesce_streams=True
    )
    client.execute(cwd=str(folder), env=environment)
    return notebook


def save(name: str, notebook: Any) -> None:
    """Writes NAME.ipynb; what would differ between two runs that gave the same is left out."""
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{name[:2]}-{index:02d}"
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    nbformat.write(notebook, FOLDER / f"{name}.ipynb")


def main(chosen: list[str]) -> None:
    """Runs and saves those of these names, or all."""
    for name in chosen or names():
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            save(name, execute(name, pathlib.Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
