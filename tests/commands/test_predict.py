import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import mobilenet_v2 as mnv2
from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.weights.save import save_weights
from tests.weights import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Weights, and 40 pictures in folders."""
    folder = tmp_path_factory.mktemp("predict")
    model = small.network(num_classes=5)
    preprocessing = Preprocessing("whole_image", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 32)
    save_weights(folder / "w.safetensors", model, mnv2.init(model, 32), source="x", preprocessing=preprocessing)
    draw = np.random.default_rng(0)
    for index in range(40):
        path = folder / "pictures" / str(index % 2) / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    (folder / "pictures" / "notes.txt").write_text("no picture")
    return folder


def predict(folder: pathlib.Path, *arguments: str) -> int:
    words = ["mobilenet-v2", "predict", *arguments, f"--weights={folder / 'w.safetensors'}"]
    return command_line.execute(commands.dispatch, words)


def test_every_picture_of_a_folder_is_a_line_of_json(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, str(folder / "pictures"), "--json", "--top=2") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == sorted(str(path) for path in (folder / "pictures").rglob("*.png"))
    model, variables = mnv2.load_pretrained(folder / "w.safetensors", report=small.quiet)
    expected = mnv2.predict(model, variables, rows[33]["image"], top=2)[0]
    assert [one["label"] for one in rows[33]["classes"]] == [one.label for one in expected]
    found = [one["probability"] for one in rows[33]["classes"]]
    assert found == pytest.approx([one.probability for one in expected], rel=1e-4)


def test_a_person_sees_a_table(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, str(folder / "pictures/0/00.png")) == 0
    out, errors = capsys.readouterr()
    assert out.count("class ") == 5
    assert "00.png" in out
    assert "images: all of it to 32 × 32" in errors


def test_a_list_comes_from_the_standard_input(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(folder / "pictures/0/02.png"), str(folder / "pictures/1/01.png")]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(names) + "\n\n"))
    assert predict(folder, "-", "--json") == 0
    assert [json.loads(line)["image"] for line in capsys.readouterr().out.splitlines()] == names


def test_what_can_not_be_read_is_told_and_left_out_and_the_status_is_1(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "document.jpg").write_bytes(b"%PDF-1.4 not a picture")
    good = str(folder / "pictures/0/00.png")
    arguments = [str(tmp_path), str(tmp_path / "none.png"), good, "--json"]
    assert predict(folder, *arguments) == 1
    out, errors = capsys.readouterr()
    assert [json.loads(line)["image"] for line in out.splitlines()] == [good]
    for name in ("empty.jpg", "document.jpg", "none.png"):
        assert f"{tmp_path / name}' can't be read" in errors
    assert errors.splitlines()[-1] == "error: 3 pictures can't be read, see above"


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "no picture is named"),
        (["a.png", "--top=0"], "--top is '0', must be an integer in 1"),
        (["a.png", "--image_size=x"], "--image_size is 'x', must be an integer"),
        (["a.png", "--tpo=1"], "unknown flag --tpo"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], says: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert says in errors
