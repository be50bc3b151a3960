import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow_datasets as tfds

from mobilenet_v2.data.preparation import FORMAT, prepared
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import TWO_CLASSES, fill, picture, two_classes

REPOSITORY = pathlib.Path(__file__).parents[2]

KILLED = """
import os, signal
from mobilenet_v2.data.builders import image_folder
from mobilenet_v2.data.sources import open_dataset

def killed(*arguments):
    yield from list(checked(*arguments))[:2]
    os.kill(os.getpid(), signal.SIGKILL)

checked, image_folder._checked = image_folder._checked, killed
open_dataset("image_folder", {data_dir!r}, {folder!r})
"""


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder that fails as it is told."""

    VERSION = tfds.core.Version("1.0.0")
    failure: BaseException | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        return two_classes(self)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        print("loud")
        yield 0, {"image": picture("0.png"), "label": 1}
        if self.failure:
            raise self.failure


def make(data_dir: pathlib.Path, failure: BaseException | None = None) -> Pictures:
    builder = Pictures(data_dir=str(data_dir), file_format=FORMAT)
    builder.failure = failure
    return builder


def test_a_builder_is_prepared_once_and_in_silence(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(lambda: make(tmp_path)).info.splits["train"].num_examples == 1
    assert prepared(lambda: make(tmp_path, KeyError("never run"))).is_prepared()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "failure, says",
    [
        (OSError("no\n space"), "no space"),
        (OSError(), "OSError"),
        (tfds.download.DownloadError("HTTP code: 404"), "HTTP code: 404"),
    ],
)
def test_what_goes_wrong_is_one_line_and_nothing_is_left(failure: Exception, says: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=rf"data set 'pictures' can't be prepared in .*: {says}$"):
        prepared(lambda: make(tmp_path, failure))
    assert not (tmp_path / "pictures").exists()
    assert prepared(lambda: make(tmp_path)).is_prepared()


def test_an_interruption_passes_through_and_nothing_is_left(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared(lambda: make(tmp_path, KeyboardInterrupt()))
    assert not (tmp_path / "pictures").exists()


def test_a_preparation_that_was_killed_is_not_taken_for_complete_and_its_remains_are_removed(
    tmp_path: pathlib.Path,
) -> None:
    folder = fill(tmp_path / "mine", TWO_CLASSES)
    data_dir = tmp_path / "data"
    program = KILLED.format(data_dir=str(data_dir), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name[:11] for path in data_dir.glob("image_folder/*/*")] == ["incomplete."]
    dataset = open_dataset("image_folder", str(data_dir), str(folder))
    assert len(dataset.split("train")) == 6
    assert [path.name for path in data_dir.glob("image_folder/*/*")] == ["1.0.0"]


def test_who_waits_for_another_says_so_and_does_not_prepare_again(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = f"""
import pathlib
from absl import logging
from tests.data.test_preparation import make, prepared
logging.set_verbosity(logging.ERROR)
prepared(lambda: make(pathlib.Path({str(tmp_path)!r}), OSError("prepared again")))
"""
    processes = []

    class Slow(Pictures, skip_registration=True):
        name = "pictures"

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            process = subprocess.Popen(
                [sys.executable, "-c", waiting], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
            )
            processes.append(process)
            assert process.stderr is not None
            assert process.stderr.readline() == f"waiting for another process that prepares a data set in {tmp_path}\n"
            yield from super()._generate_examples()

    prepared(lambda: Slow(data_dir=str(tmp_path), file_format=FORMAT))
    (process,) = processes
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 0
