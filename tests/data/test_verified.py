import pathlib
import signal
import subprocess
import sys

import pytest

from mobilenet_v2.data.builders import image_folder
from mobilenet_v2.data.builders.verified import journal
from mobilenet_v2.data.picture_files import list_files
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import TWO_CLASSES, fill, picture

REPOSITORY = pathlib.Path(__file__).parents[2]

KILLED = """
import os, signal
from mobilenet_v2.data.builders import image_folder
from mobilenet_v2.data.sources import open_dataset

def killed(*arguments):
    for place, found in enumerate(checked(*arguments)):
        if place == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        yield found

checked, image_folder._checked = image_folder._checked, killed
open_dataset("image_folder", {data_dir!r}, {folder!r})
"""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is decoded in this process."""
    calls: list[bytes] = []
    decode = image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda encoded, **_: (calls.append(encoded), decode(encoded)))
    return calls


def contents(data_dir: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}


def test_after_a_kill_no_picture_is_decoded_twice_and_the_bytes_are_those_of_one_go(
    tmp_path: pathlib.Path, decoded: list[bytes]
) -> None:
    folder = fill(tmp_path / "mine", TWO_CLASSES)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    program = KILLED.format(data_dir=str(stopped), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    open_dataset("image_folder", str(stopped), str(folder))
    assert len(decoded) == len(TWO_CLASSES) - 4
    open_dataset("image_folder", str(whole), str(folder))
    assert len(decoded) == 2 * len(TWO_CLASSES) - 4
    assert contents(stopped) == contents(whole)


def test_once_a_picture_is_mended_only_that_one_is_decoded(tmp_path: pathlib.Path, decoded: list[bytes]) -> None:
    folder = fill(tmp_path / "mine", TWO_CLASSES)
    broken = folder / TWO_CLASSES[0]
    broken.write_bytes(b"damaged")
    with pytest.raises(DataError, match="1 picture that can't be read"):
        open_dataset("image_folder", str(tmp_path / "data"), str(folder))
    decoded.clear()
    broken.write_bytes(picture(TWO_CLASSES[0]))
    open_dataset("image_folder", str(tmp_path / "data"), str(folder))
    assert decoded == [broken.read_bytes()]
    assert not list((tmp_path / "data").glob("*.verified"))


def test_a_line_cut_short_and_a_changed_picture_are_not_known(tmp_path: pathlib.Path) -> None:
    folder, path = fill(tmp_path / "mine", TWO_CLASSES[:3]), tmp_path / "journal"
    first, second, third = sorted(TWO_CLASSES[:3])
    with journal(path, list_files(folder)) as (known, enter):
        assert not known
        for name in (first, second, third):
            enter(name)
    path.write_bytes(path.read_bytes()[:-2])
    (folder / first).write_bytes(b"longer than it was before, or shorter")
    with journal(path, list_files(folder)) as (known, enter):
        assert known == {second}
        enter(third)
    with journal(path, list_files(folder)) as (known, _):
        assert known == {second, third}
