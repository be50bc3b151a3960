"""Records for tests of the input pipeline; in a module of their own, because worker processes import it."""

import dataclasses
from typing import Any

import cv2
import numpy as np
from ml_collections import ConfigDict

from configs import digits

SIDE = 16


def config(batch_size: int, threads: int = 0, workers: int = 0) -> ConfigDict:
    result = digits.get_config()
    result.data.update(image_size=SIDE, num_threads=threads, num_workers=workers)
    result.augment.flip = True
    result.train.batch_size = batch_size
    return result


def records(count: int, corrupt: int = 0) -> list[dict[str, Any]]:
    """JPEGs whose label is their index. Every third of the corrupt is cut short, the others are no image at all; as
    many again are PNGs under a JPEG's name, which is no fault."""
    rng = np.random.default_rng(0)
    result = []
    for index in range(count):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        image = cv2.imencode(".jpg", pixels)[1].tobytes()
        result.append({"image": image, "label": index, "file_name": f"{index:05d}.jpg".encode()})
    places = rng.permutation(count)[: 2 * corrupt].tolist()
    for place in places[:corrupt]:
        image = result[place]["image"]
        result[place]["image"] = image[: len(image) // 2] if place % 3 == 0 else b"no image"
    for place in places[corrupt:]:
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        result[place]["image"] = cv2.imencode(".png", pixels)[1].tobytes()
    return result


@dataclasses.dataclass(frozen=True)
class Failing:
    """A source that raises at one record."""

    records: list[dict[str, Any]]
    at: int

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.at:
            raise OSError(f"record {index}: input/output error")
        return self.records[index]
