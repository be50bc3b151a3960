"""The data set of `photographs`, and a transform that cuts a given rectangle of each picture."""

import dataclasses
import pathlib
from typing import Any

import grain.python as grain
import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from mobilenet_v2.data.resizing import scale
from mobilenet_v2.data.sources import Dataset
from mobilenet_v2.data.transforms import Preprocess

_IMAGENET = 1_281_167


@dataclasses.dataclass(frozen=True)
class AsManyAsImageNet:
    """A split read again and again, because Grain's shuffle takes 70 µs a record where there are but some hundred."""

    records: Any

    def __len__(self) -> int:
        return _IMAGENET

    def __getitem__(self, index: int) -> Any:
        return self.records[index % len(self.records)]


def photographs(folder: pathlib.Path) -> Any:
    """The training split, as a run reads it."""
    builder = tfds.builder_from_directory(str(folder / "data" / "photographs" / "1.0.0"))
    return Dataset(builder, ()).split("train")


@dataclasses.dataclass(frozen=True)
class CropAsGiven(grain.RandomMapTransform):
    """Decodes, cuts [top, left, height, width] by the file's name, scales: so that all contestants cut alike."""

    preprocess: Preprocess
    crops: dict[str, list[int]]

    @classmethod
    def of(cls, config: ConfigDict, crops: dict[str, list[int]]) -> "CropAsGiven":
        """As `config.data` says."""
        return cls(Preprocess.of(config.data), crops)

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        """One record's example."""
        top, left, height, width = self.crops[element["file_name"].decode()]
        image = self.preprocess.decode(element["image"])[top : top + height, left : left + width]
        size = self.preprocess.size
        image = scale(image, size, size, self.preprocess.interpolation)
        return {"image": image, "label": np.int32(element["label"]), "mask": np.float32(1)}
