import json
import pathlib

import pytest
from safetensors.numpy import save_file

from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.commands import import_weights
from mobilenet_v2.weights.load import load_pretrained
from tests.weights import small


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    save_file(small.arrays("torchvision"), tmp_path / "source")
    return tmp_path / "source"


def test_a_file_of_ours_is_written_with_its_description(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.safetensors"
    commands.dispatch(["mobilenet_v2", "import_weights", f"--weights={source}", f"--output={output}"])
    out = capsys.readouterr().out
    assert "source: torchvision, 262 arrays, sha256 " in out
    assert f"wrote {output} and {output.with_suffix('.json')}" in out
    model, _ = load_pretrained(output)
    assert model.padding == "symmetric"


def test_json_says_what_was_done_and_written(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    flags = [f"--weights={source}", f"--output={output}", "--names=keras", "--num_classes=3", "--json"]
    import_weights.main(["import_weights", *flags])
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == [str(output)]
    assert printed["num_classes"] == 3
    assert any("replaced by a new one of 3" in line for line in printed["report"])


@pytest.mark.parametrize(
    "flags, texts",
    [
        (["--num_classes=ten"], ["--num_classes is 'ten'", "1 … 1000000"]),
        (["--num_classes=0"], ["--num_classes is '0'"]),
        (["--names=tim"], ["'tim'", "did you mean 'timm'"]),
        (["--nmaes=timm"], ["--nmaes", "did you mean 'names'"]),
        (["--weights="], ["--weights is missing", "[--names=…]"]),
        (["--weights=absent/file"], ["'absent/file'", "hub"]),
    ],
)
def test_a_wrong_flag_is_one_line(
    flags: list[str],
    texts: list[str],
    source: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["import_weights", f"--weights={source}", f"--output={tmp_path / 'o.safetensors'}", "--offline", *flags]
    assert command_line.execute(import_weights.main, argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [text for text in texts if text not in error] == [], error


@pytest.mark.parametrize("flags", [["--names=tim"], ["--output=out.bin"]])
def test_names_and_output_are_checked_before_anything_is_read(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["import_weights", "--weights=absent/file", f"--output={tmp_path / 'o.safetensors'}", *flags]
    assert command_line.execute(import_weights.main, argv[: 2 if "--output" in flags[0] else 3] + flags) == 2
    assert "absent/file" not in capsys.readouterr().err
