import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mobilenet_v2.data.builders import BUILDERS
from mobilenet_v2.data.sources import Records, open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import pack, picture, two_classes


@pytest.mark.parametrize(
    "expression, size",
    [("train", 1257), ("train[:360]", 360), ("train[1200:]", 57), ("test[:10%]", 27), ("train+test", 1527)],
)
def test_split_expressions_are_those_of_tfds(expression: str, size: int, data_dir: str) -> None:
    assert len(open_dataset("digits", data_dir).split(expression)) == size


def test_records_come_encoded_and_in_any_order(data_dir: str) -> None:
    source = open_dataset("digits", data_dir).split("train")
    last, first = source[1256], source[0]
    assert first["image"].startswith(b"\x89PNG")
    assert last["id"] != first["id"]


def test_held_in_memory_the_records_are_the_same(data_dir: str) -> None:
    dataset = open_dataset("digits", data_dir)
    held, read = dataset.split("test", cache="memory"), dataset.split("test")
    assert isinstance(held, list)
    assert held == [read[index] for index in range(270)]


def test_a_record_that_is_damaged_on_disk_is_named(data_dir: str) -> None:
    whole = open_dataset("digits", data_dir).split("test")[0]
    assert set(whole) == {"id", "image", "label"}
    with pytest.raises(DataError, match=r"record 1 of split 'test' can't be read: "):
        Records([b"", b"\xff\xff\xff"], "test")[1]


@pytest.mark.parametrize("expression", ["training", "train[:", "", "train[:0]", "train[2000:]"])
def test_a_split_that_cannot_be_had_is_named_with_those_that_can(expression: str, data_dir: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset("digits", data_dir).split(expression)
    assert repr(expression) in str(caught.value)
    assert "'digits'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, closest", [("digit", "digits"), ("cifar_10", "cifar10"), ("imagenet2021", "imagenet")])
def test_an_unknown_data_set_gets_the_nearest_known_one(name: str, closest: str, data_dir: str) -> None:
    with pytest.raises(DataError, match=rf"config\.data\.name is '{name}'.* did you mean '{closest}"):
        open_dataset(name, data_dir)


@pytest.mark.parametrize("name", ["mnist", "mnist:3.0.1", "imagenet2012_subset/1pct", "imagenet2012:5.0.0"])
def test_a_data_set_that_is_not_prepared_gets_the_command_that_prepares_it(name: str, data_dir: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(name, data_dir)
    assert f"tfds build {name} --file_format=array_record --data_dir={data_dir}" in str(caught.value)


@pytest.mark.parametrize("name", ["mnist:99.0.0", "cifar10:3.0.1", "imagenette/nothing"])
def test_a_version_or_config_that_does_not_exist_is_named(name: str, data_dir: str) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(name, data_dir)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"'digits' can't be prepared in .*file"):
        open_dataset("digits", str(tmp_path / "file"))


def test_two_that_prepare_at_once_both_succeed(tmp_path: pathlib.Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        datasets = list(pool.map(lambda _: open_dataset("digits", str(tmp_path)), range(2)))
    assert [len(dataset.split("test")) for dataset in datasets] == [270, 270]


class Foreign(tfds.core.GeneratorBasedBuilder):
    """One of TFDS's own, as far as this package is concerned, that hands over encoded pictures."""

    VERSION = tfds.core.Version("1.0.0")
    images: ClassVar[list[Any]] = [picture("0.png"), picture("1.png")]

    def _info(self) -> tfds.core.DatasetInfo:
        return two_classes(self)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for label, image in enumerate(self.images):
            yield label, {"image": image, "label": label}


class ForeignArrays(Foreign):
    """… or arrays, as most do."""

    images: ClassVar[list[Any]] = [np.zeros((8, 8, 3), np.uint8)]


class ForeignArchive(Foreign):
    """… or unpacks something first."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        dl_manager.extract(pack(pathlib.Path(self.data_dir) / "a.tar", {"x": b"1"}))
        raise AssertionError("unpacked without TensorFlow")


def test_a_data_set_of_tfds_is_prepared_where_that_is_asked_for_and_needs_no_tensorflow(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="tfds build foreign "):
        open_dataset("foreign", str(tmp_path))
    assert len(open_dataset("foreign", str(tmp_path), prepare=True).split("train")) == 2
    assert open_dataset("foreign", str(tmp_path)).num_classes == 2


@pytest.mark.parametrize("name", ["foreign_arrays", "foreign_archive"])
def test_one_that_needs_tensorflow_gets_the_command_that_prepares_it(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=f"'{name}' is not prepared in .*pip install tensorflow && tfds build {name}"):
        open_dataset(name, str(tmp_path), prepare=True)
    assert not list(tmp_path.glob(f"{name}*"))


@pytest.mark.parametrize("name", ["cifar10", "digits", "image_folder", "imagenet2012", "imagenette"])
def test_our_data_sets_are_known_by_the_names_of_tfds(name: str) -> None:
    assert BUILDERS[name].name == name


def test_where_another_format_has_been_prepared_that_is_said(data_dir: str, tmp_path: pathlib.Path) -> None:
    shutil.copytree(pathlib.Path(data_dir) / "digits", tmp_path / "digits")
    info = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(DataError, match=r"'digits', which TFDS can't open: .*already set"):
        open_dataset("digits", str(tmp_path))


def test_preparing_and_reading_never_import_tensorflow(tmp_path: pathlib.Path) -> None:
    program = (
        "import sys\n"
        "from mobilenet_v2.data.sources import Records, open_dataset\n"
        f"open_dataset('digits', {str(tmp_path)!r}).split('train')[0]\n"
        "sys.exit('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=pathlib.Path(__file__).parents[2], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert os.listdir(tmp_path / "digits") == ["1.0.0"]
