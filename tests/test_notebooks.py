"""`notebooks/`: both files of each say the same, and what is committed is what comes out."""

import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from notebooks import execute

NAMES = execute.names()
QUICK = "4_read_an_ablation"


def committed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(execute.FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> Iterator[Any]:
    for cell in code(notebook):
        yield from cell.outputs


def texts(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Everything in outputs that is no picture."""
    for output in outputs(notebook):
        if output.output_type == "stream":
            yield output.text
        yield from (str(data) for kind, data in output.get("data", {}).items() if kind != "image/png")


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def check_ran_well(notebook: nbformat.NotebookNode) -> None:
    assert all(cell.execution_count for cell in code(notebook))
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
    # Warnings of libraries, and Python's own.
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []
    assert pictures(notebook) > 0


def test_each_has_both_files() -> None:
    assert {path.stem for path in execute.FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_files_of_a_notebook_say_the_same(name: str) -> None:
    source, saved = execute.read(name), committed(name)
    assert [(cell.cell_type, cell.source) for cell in saved.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]
    nbformat.validate(saved)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_ran_from_top_to_bottom_without_errors_or_warnings(name: str) -> None:
    check_ran_well(committed(name))
    assert [cell.execution_count for cell in code(committed(name))] == [
        index + 1 for index in range(len(code(committed(name))))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_name_no_folder_of_the_machine_they_come_from(name: str) -> None:
    here = [str(execute.FOLDER.parent), str(pathlib.Path.home()), sys.prefix, tempfile.gettempdir()]
    anywhere = r"(?<![\w<])/(?:home|root|tmp|usr|opt|var|Users|mnt|work)/|[A-Z]:\\"
    for text in texts(committed(name)):
        assert not re.search(anywhere, text), text
        assert not any(folder in text for folder in here), text


def test_a_summary_is_a_table_and_only_once() -> None:
    """Rich shows what it prints in Jupyter by itself, even what is printed into a string."""
    [cell] = [cell for cell in code(committed("1_tour")) if cell.source == "mnv2.summarize(model)"]
    [output] = cell.outputs
    assert output.output_type == "execute_result"
    assert "<table>" in output.data["text/html"]
    assert "<td>300,774,272</td>" in output.data["text/html"]
    assert "\x1b" not in output.data["text/plain"]


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in NAMES if one != QUICK)])
def test_a_notebook_runs_in_an_empty_folder(name: str, tmp_path: pathlib.Path) -> None:
    executed = execute.execute(name, tmp_path)
    check_ran_well(executed)
    assert pictures(executed) == pictures(committed(name))
