import itertools
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from benchmarks import input_contestants, photographs
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.resizing import scale

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("photographs")
    photographs.make(folder, None, 40)
    return folder


def expected_crops(folder: pathlib.Path) -> set[bytes]:
    """What a loader must make of each file, bilinear."""
    cut = {}
    for name, (top, left, height, width) in json.loads((folder / "crops.json").read_text()).items():
        picture = decode((folder / "images" / name).read_bytes())
        cut[name] = scale(picture[top : top + height, left : left + width], 224, 224, "linear").tobytes()
    return set(cut.values())


def test_pictures_have_imagenets_size_and_crops_lie_within_them(folder: pathlib.Path) -> None:
    crops = json.loads((folder / "crops.json").read_text())
    assert sorted(crops) == [f"{index:05d}.jpg" for index in range(40)]
    for name, (top, left, height, width) in crops.items():
        assert decode((folder / "images" / name).read_bytes()).shape == (375, 500, 3)
        assert min(top, left) >= 0
        assert min(height, width) > 0
        assert top + height <= 375
        assert left + width <= 500
    assert len({path.read_bytes() for path in (folder / "images").iterdir()}) == 40


def test_the_same_pictures_are_made_each_time(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    photographs.make(tmp_path / "again", None, 3)
    for name in ("images/00002.jpg", "images/00000.jpg"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("loader", [input_contestants.ours, input_contestants.bare_loop])
def test_our_loaders_give_the_crops_that_all_contestants_cut(loader: Any, folder: pathlib.Path) -> None:
    expected = expected_crops(folder)
    batches = loader(folder)
    taken = [row.tobytes() for batch in itertools.islice(batches, 2) for row in np.asarray(batch)]
    batches.close()
    assert len(taken) == 64
    assert set(taken) <= expected
    assert len(set(taken)) > 20


@pytest.mark.slow
def test_ours_and_the_bare_loop_take_turns_and_each_has_a_figure(tmp_path: pathlib.Path) -> None:
    flags = ["--images=40", "--rounds=1", "--batches=2"]
    command = [sys.executable, "-m", "benchmarks.input_pipeline", *flags]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["results"].keys() == {"ours", "ours_area", "bare_loop"}
    assert printed["results"]["bare_loop"]["ratio"] > 0
    assert printed["all_cores"].keys() == {"ours_threads", "ours_workers"}
    assert "tf_data is left out: --tensorflow_python is not given" in done.stdout


@pytest.mark.parametrize(
    "flag, says",
    [
        ("--rounds=0", "--rounds is 0, must be at least 1"),
        ("--rouns=1", "unexpected argument '--rouns=1'; did you mean '--rounds'?"),
        ("--photographs=nowhere", "holds no JPEG of at least 375 pixels a side"),
    ],
)
def test_a_wrong_flag_is_one_line(flag: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.input_pipeline", flag], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
