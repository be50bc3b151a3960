"""Records to examples: {"image": uint8 [H, W, C], "label": int32, "mask": float32}.

An image that can't be decoded becomes zeros with mask 0: the batch keeps its shape, every mean leaves the row
out, and the loop counts it. Raising instead would end a reader without a word.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import grain.python as grain
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.colour import ColourJitter
from mobilenet_v2.data.crops import Crop
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.policies import Policy
from mobilenet_v2.data.resizing import resize_to_square

Example = dict[str, Any]

# Places in the one block of uniform numbers that an example draws; the crop's come last, as many as it wants.
_GEOMETRY = slice(0, 5)
_BACKGROUND = slice(5, 9)
_COLOUR = slice(9, 9 + ColourJitter.DRAWS)
_POLICY = slice(_COLOUR.stop, _COLOUR.stop + Policy.DRAWS)


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
    background: tuple[int, int, int] = (0, 0, 0)
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
        try:
            image = self.square(self.decode(element["image"]))
        except ValueError:
            image = None
        return self.example(element, image)

    def example(self, element: Any, image_SxSxC: np.ndarray | None) -> Example:
        """The example of a record; without pixels, black and masked."""
        valid = image_SxSxC is not None and element.get("valid", True)
        image = self.black() if image_SxSxC is None else image_SxSxC
        return {"image": image, "label": np.int32(element["label"]), "mask": np.float32(valid)}

    def decode(self, encoded: bytes, background: Sequence[int] | None = None) -> np.ndarray:
        """Pixels as they are stored, over `background` if given; raises ValueError as `decode.decode`."""
        behind = self.background if background is None else background
        return decode(encoded, self.channels, behind, self.exif_orientation)

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
    """Decodes, cuts, turns, zooms, shifts, mirrors, and changes colours at random, in this order.

    Attributes:
      preprocess: what evaluation does. Its background lies behind what is transparent and beyond the borders.
      rotation: largest turn, in degrees.
      zoom: scale factors are in U(1 − zoom, 1 + zoom).
      shift: largest move along each axis, as a share of the side.
      flip: mirror left–right with probability ½.
      random_background: probability that a colour drawn from all RGB ones takes the background's place.
      crop, colour, policy: see there; None does nothing.
    """

    preprocess: Preprocess
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    random_background: float = 0.0
    crop: Crop = dataclasses.field(default_factory=Crop)
    colour: ColourJitter | None = None
    policy: Policy | None = None

    @classmethod
    def of(cls, config: ConfigDict) -> "Augment":
        """As `config.data` and `config.augment` say."""
        augment = config.augment
        size = augment.image_size or config.data.image_size
        names = ("rotation", "zoom", "shift", "flip", "random_background")
        return cls(
            dataclasses.replace(Preprocess.of(config.data), size=size),
            **{name: augment[name] for name in names},
            crop=Crop.of(augment),
            colour=ColourJitter.of(augment),
            policy=Policy.of(augment, size),
        )

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        """Draws the same numbers whatever the settings, so that switching one on leaves the others alone."""
        draws = rng.random(_POLICY.stop + self.crop.draws)
        preprocess = self.preprocess
        background = self._background(draws[_BACKGROUND])
        try:
            image = preprocess.decode(element["image"], background)
        except ValueError:
            return preprocess.example(element, None)
        fill = beyond_borders(background, preprocess.channels)
        image = self.crop(image, preprocess.size, preprocess.square, draws[_POLICY.stop :], fill)
        image = self._moved(image, draws[_GEOMETRY], fill)
        if self.colour is not None:
            image = self.colour(image, draws[_COLOUR])
        if self.policy is not None:
            image = self.policy(image, draws[_POLICY], fill)
        return preprocess.example(element, np.ascontiguousarray(image))

    def _background(self, draws: np.ndarray) -> tuple[int, ...]:
        replace, *colour = draws.tolist()
        return tuple(int(256 * c) for c in colour) if replace < self.random_background else self.preprocess.background

    def _moved(self, image_SxSxC: np.ndarray, draws: np.ndarray, fill: Sequence[int]) -> np.ndarray:
        """Turned, zoomed, shifted and mirrored."""
        turn, zoom, right, down, mirror = 2 * draws - 1
        size = self.preprocess.size
        if self.rotation or self.zoom or self.shift:
            centre = ((size - 1) / 2, (size - 1) / 2)
            affine = cv2.getRotationMatrix2D(centre, turn * self.rotation, 1 + zoom * self.zoom)
            affine[:, 2] += size * self.shift * np.array([right, down])
            shape = image_SxSxC.shape
            moved = cv2.warpAffine(image_SxSxC, affine, (size, size), flags=cv2.INTER_LINEAR, borderValue=tuple(fill))
            image_SxSxC = moved.reshape(shape)
        return cv2.flip(image_SxSxC, 1).reshape(image_SxSxC.shape) if self.flip and mirror < 0 else image_SxSxC


def beyond_borders(background: Sequence[int], channels: int) -> tuple[int, ...]:
    """A background of red, green and blue as pixels of so many channels: one is its grey (ITU-R BT.601)."""
    red, green, blue = background
    return (red, green, blue) if channels == 3 else (round(0.299 * red + 0.587 * green + 0.114 * blue),)
