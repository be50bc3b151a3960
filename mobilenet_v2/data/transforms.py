"""Records to examples: {"image": uint8 [H, W, C], "label": int32, "mask": float32}.

An image that can't be decoded becomes zeros with mask 0: the batch keeps its shape, every mean leaves the row
out, and the loop counts it. Raising instead would end a reader without a word.
"""

import dataclasses
from typing import Any

import cv2
import grain.python as grain
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.resizing import resize_to_square

Example = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Preprocess(grain.MapTransform):
    """Decodes and resizes: the example that evaluation sees.

    Attributes:
      size: of the result, in pixels.
      channels, background, exif_orientation: see `decode`.
      resize, resize_size, crop_fraction, interpolation: see `resize_to_square`.
    """

    size: int
    channels: int = 3
    background: tuple[int, int, int] = (255, 255, 255)
    exif_orientation: bool = False
    resize: str = "whole_image"
    resize_size: int | None = None
    crop_fraction: float = 1.0
    interpolation: str = "area"

    @classmethod
    def of(cls, data: ConfigDict) -> "Preprocess":
        """As the fields of `config.data` say."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "size"]
        return cls(data.image_size, **{name: data[name] for name in names})

    def map(self, element: Any) -> Any:
        """One record's example."""
        valid = element.get("valid", True)
        try:
            image = self.square(self.decode(element["image"]))
        except ValueError:
            image, valid = self.black(), False
        return {"image": image, "label": np.int32(element["label"]), "mask": np.float32(valid)}

    def decode(self, encoded: bytes) -> np.ndarray:
        """Pixels as they are stored; raises ValueError as `decode.decode`."""
        return decode(encoded, self.channels, self.background, self.exif_orientation)

    def square(self, image_HxWxC: np.ndarray) -> np.ndarray:
        """Pixels as the network sees them."""
        return resize_to_square(
            image_HxWxC,
            self.size,
            resize=self.resize,
            interpolation=self.interpolation,
            resize_size=self.resize_size,
            crop_fraction=self.crop_fraction,
        )

    def black(self) -> np.ndarray:
        """What stands for an image that can't be read."""
        return np.zeros((self.size, self.size, self.channels), np.uint8)


@dataclasses.dataclass(frozen=True)
class Augment(grain.RandomMapTransform):
    """Decodes, resizes, and turns, zooms, shifts and mirrors at random, filling with black.

    Attributes:
      preprocess: what evaluation does.
      rotation: largest turn, in degrees.
      zoom: scale factors are in U(1 − zoom, 1 + zoom).
      shift: largest move along each axis, as a share of the side.
      flip: mirror left–right with probability ½.
    """

    preprocess: Preprocess
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False

    @classmethod
    def of(cls, config: ConfigDict) -> "Augment":
        """As `config.data` and `config.augment` say."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "preprocess"]
        return cls(Preprocess.of(config.data), **{name: config.augment[name] for name in names})

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        """Draws the same numbers whatever the settings, so that switching one on leaves the others alone."""
        turn, zoom, right, down, mirror = rng.uniform(-1, 1, 5)
        result, size = self.preprocess.map(element), self.preprocess.size
        image = result["image"]
        if self.rotation or self.zoom or self.shift:
            centre = ((size - 1) / 2, (size - 1) / 2)
            affine = cv2.getRotationMatrix2D(centre, turn * self.rotation, 1 + zoom * self.zoom)
            affine[:, 2] += size * self.shift * np.array([right, down])
            shape = image.shape
            image = cv2.warpAffine(image, affine, (size, size), flags=cv2.INTER_LINEAR).reshape(shape)
        if self.flip and mirror < 0:
            image = np.ascontiguousarray(image[:, ::-1])
        return {**result, "image": image}
