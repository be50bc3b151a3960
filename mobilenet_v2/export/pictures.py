"""Real pictures that a file is compared on, and calibrated with: a folder's, or a run's own."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.picture_layout import is_picture
from mobilenet_v2.errors import DataError
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.photographs import prepare


class Pictures(NamedTuple):
    """Pictures that have been made ready.

    Attributes:
      pixels: uint8 [N, size, size, C].
      labels: int32 [N]; None where they are not known.
      what: for a person, whose they are.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    what: str


def of_folder(
    folder: str | os.PathLike[str], preprocessing: Preprocessing, most: int, class_names: Sequence[str] = ()
) -> Pictures:
    """At most so many pictures of a folder and those within it, evenly spread over their names in order.

    Where each lies in a folder that is called as one of `class_names`, that is its label.

    Raises:
      DataError: if it is no folder, has no pictures, or one can't be read.
    """
    if not pathlib.Path(folder).is_dir():
        raise DataError(f"{str(folder)!r} is no folder, must be one of pictures")
    paths = sorted(path for path in pathlib.Path(folder).rglob("*") if is_picture(path) and path.is_file())
    if not paths:
        raise DataError(f"folder {str(folder)!r} holds no picture, such as name.jpg")
    chosen = [paths[index] for index in _spread(len(paths), most)]
    parents = [path.parent.name for path in chosen]
    named = len(set(class_names)) == len(class_names) and set(parents) <= set(class_names)
    labels = np.array([class_names.index(name) for name in parents], np.int32) if named else None
    pixels = np.stack([prepare(path, preprocessing) for path in chosen])
    return Pictures(pixels, labels, f"{len(chosen)} of {len(paths)} pictures in {folder}")


def of_split(config: ConfigDict, split: str, preprocessing: Preprocessing, most: int) -> Pictures:
    """At most so many pictures of a TFDS split of the data set of `config.data`, evenly spread.

    Those that can't be decoded are left out, as in training.

    Raises:
      DataError: if the data set can't be opened, or none of these can be decoded.
    """
    from mobilenet_v2.data.sources import open_configured  # data sets are of the extra "train"

    source = open_configured(config.data).split(split)
    pixels, labels = [], []
    for record in (source[index] for index in _spread(len(source), most)):
        image = _decoded(record, preprocessing)
        if image is not None:
            pixels.append(image)
            labels.append(record["label"])
    if not pixels:
        raise DataError(f"split {split!r} of data set {config.data.name!r} has no picture that can be decoded")
    what = f"{len(pixels)} of {len(source)} pictures in {config.data.name} {split}"
    return Pictures(np.stack(pixels), np.array(labels, np.int32), what)


def noise(preprocessing: Preprocessing, count: int) -> Pictures:
    """Pixels of no picture: of two files' numbers they say something, of a network's worth nothing."""
    shape = (count, preprocessing.crop_size, preprocessing.crop_size, len(preprocessing.mean))
    return Pictures(np.random.default_rng(0).integers(0, 256, shape, np.uint8), None, f"{count} of random noise")


def normalised(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Float32, as networks take them."""
    mean, std = (np.asarray(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return (pixels.astype(np.float32) / 255 - mean) / std


def _decoded(record: dict[str, Any], preprocessing: Preprocessing) -> np.ndarray | None:
    if not record.get("valid", True):
        return None
    try:
        return prepare(record["image"], preprocessing)
    except DataError:
        return None


def _spread(count: int, most: int) -> list[int]:
    """Indices of at most so many of `count`, evenly spread: a folder's pictures lie class by class."""
    return [index * count // min(count, most) for index in range(min(count, most))]
