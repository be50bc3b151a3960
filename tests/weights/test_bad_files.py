import importlib.util
import pathlib
from collections.abc import Callable

import pytest

from mobilenet_v2 import command_line
from mobilenet_v2.commands import import_weights
from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.load import load_pretrained
from tests.weights.bad_files import BAD_FILES, another_network, pickle_that_runs

NEEDS_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def cases() -> list[object]:
    marked = ("pickle", "pth")
    return [
        pytest.param(make, texts, id=make.__name__, marks=NEEDS_TORCH if make.__name__.startswith(marked) else ())
        for make, texts in BAD_FILES.items()
    ]


@pytest.mark.parametrize("make, texts", cases())
def test_a_bad_file_is_one_line_that_says_what_was_expected_and_found(
    make: Callable[[pathlib.Path], None],
    texts: list[str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "read"
    folder.mkdir()
    make(folder / "file")
    empty_folder = tmp_path / "working"
    empty_folder.mkdir()
    monkeypatch.chdir(empty_folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(WeightsError) as refused:
        load_pretrained(folder / "file", report=lambda line: None)
    message = " ".join(str(refused.value).split())
    assert [text for text in texts if text not in message] == [], message
    assert "file" in message
    assert len(message) < 500
    assert list(empty_folder.iterdir()) == [], "something in the file was run"
    assert sorted(folder.rglob("*")) == before


def test_a_pickle_without_torch_names_the_safetensors_way(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickle_that_runs(tmp_path / "file.pth")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"torch is not installed.*safetensors\.torch\.save_file"):
        load_pretrained(tmp_path / "file.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_names_the_formats_and_the_hub() -> None:
    with pytest.raises(WeightsError, match=r"is no file, must be a file of safetensors.*OWNER/NAME"):
        load_pretrained("/no/such/file.pth")


def test_a_wrong_file_leaves_no_output_behind(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    another_network(tmp_path / "file")
    output = tmp_path / "out.safetensors"
    argv = ["import_weights", f"--weights={tmp_path / 'file'}", f"--output={output}"]
    assert command_line.execute(import_weights.main, argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
