import importlib.util
import pathlib
import tomllib

import pytest

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.export.formats import FORMATS, check_output, find_format


def test_each_format_has_its_code() -> None:
    for kind in FORMATS.values():
        assert callable(kind.code().write)
        assert callable(kind.code().load)


def test_an_unknown_format_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"--format is 'onx', must be one of stablehlo, onnx.*did you mean 'onnx'"):
        find_format("onx")


@pytest.mark.parametrize("name", FORMATS)
def test_a_package_that_is_missing_is_named_with_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = FORMATS[name].needs[-1]
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None if package == absent else object())
    with pytest.raises(ConfigError, match=rf"--format={name} needs {absent}, .*pip install '\.\[{FORMATS[name].extra}"):
        find_format(name)


def test_the_extras_are_declared_and_list_what_formats_need() -> None:
    declared = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    for kind in FORMATS.values():
        (file,) = declared["optional-dependencies"][kind.extra]["file"]
        listed = pathlib.Path(file).read_text().replace("-", "_")
        assert all(f"\n{package}" in listed for package in kind.needs)


@pytest.mark.parametrize(
    "name, says",
    [
        ("net.bin", "must end in .onnx for --format=onnx"),
        ("there.onnx", "exists, must be a new file"),
        ("described.onnx", "described.onnx.json' exists"),
        ("absent/net.onnx", "can't be written: No such file or directory"),
        ("there.onnx/net.onnx", "can't be written: Not a directory"),
    ],
)
def test_where_nothing_can_be_written_is_one_line(name: str, says: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "there.onnx").touch()
    (tmp_path / "described.onnx.json").touch()
    with pytest.raises(ConfigError, match=says):
        check_output(tmp_path / name, "onnx")


def test_a_new_file_may_be_written_and_nothing_is_left_by_the_try(tmp_path: pathlib.Path) -> None:
    files = check_output(tmp_path / "net.onnx", "onnx")
    assert [file.name for file in files] == ["net.onnx", "net.onnx.json"]
    assert not list(tmp_path.iterdir())
