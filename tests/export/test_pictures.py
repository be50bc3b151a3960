import dataclasses
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mobilenet_v2.data.sources import open_configured
from mobilenet_v2.data.transforms import Preprocess
from mobilenet_v2.errors import DataError
from mobilenet_v2.export import pictures
from mobilenet_v2.models.variants import Preprocessing
from tests.export import networks


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Six pictures in each of two classes' folders."""
    for index in range(12):
        path = tmp_path / "ab"[index // 6] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 10 * index, np.uint8)).save(path)
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_pictures_of_a_folder_are_evenly_spread_and_labelled_by_their_folders(folder: pathlib.Path) -> None:
    found = pictures.of_folder(folder, networks.PREPROCESSING, 4, ("b", "c", "a"))
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 30, 60, 90]
    assert found.pixels.shape == (4, networks.SIDE, networks.SIDE, 3)
    assert found.labels is not None
    assert found.labels.tolist() == [2, 2, 0, 0]
    assert found.what == f"4 of 12 pictures in {folder}"


def test_folders_that_are_no_classes_are_no_labels(folder: pathlib.Path) -> None:
    for names in ((), ("a", "c"), ("a", "b", "b")):
        assert pictures.of_folder(folder, networks.PREPROCESSING, 100, names).labels is None


def test_pictures_that_are_not_there_or_can_t_be_read_are_one_line(folder: pathlib.Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        pictures.of_folder(folder / "empty", networks.PREPROCESSING, 4)
    with pytest.raises(DataError, match=r"notes\.txt' is no folder"):
        pictures.of_folder(folder / "notes.txt", networks.PREPROCESSING, 4)
    (folder / "empty" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"a\.jpg' can't be read"):
        pictures.of_folder(folder / "empty", networks.PREPROCESSING, 4)


def test_pictures_of_a_split_are_those_that_a_run_evaluates(tiny_config: ConfigDict) -> None:
    tiny_config.data.background = (9, 9, 9)
    preprocessing = Preprocessing.of(tiny_config.data)
    found = pictures.of_split(tiny_config, "validation[:50]", preprocessing, 1000)
    assert found.pixels.shape == (50, 16, 16, 3)
    assert found.labels is not None
    source = open_configured(tiny_config.data).split("validation[:50]")
    for index in (0, 31, 49):
        example = Preprocess.of(tiny_config.data).map(source[index])
        np.testing.assert_array_equal(found.pixels[index], example["image"])
        assert found.labels[index] == example["label"]


def test_normalised_pixels_are_what_networks_take() -> None:
    stated = dataclasses.replace(networks.PREPROCESSING, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    images = pictures.normalised(np.full((1, 2, 2, 3), 255, np.uint8), stated)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images[0, 0, 0], [1, 1, 0])


def test_noise_is_the_same_each_time() -> None:
    first, second = (pictures.noise(networks.PREPROCESSING, 3) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.pixels.shape == (3, networks.SIDE, networks.SIDE, 3)
