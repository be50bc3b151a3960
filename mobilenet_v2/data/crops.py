"""Which part of an image training sees: the crops of the published recipes, each from given uniform numbers."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.resizing import scale

Box = tuple[int, int, int, int]  # top, left, height, width, in pixels

_DRAWS = 4  # of an attempt
_ATTEMPTS = {"evaluation": 0, "random_resized": 10, "distorted_box": 100, "padded": 1}
_MIN_OBJECT_COVERED = 0.1  # TF-slim's, of the whole image


@dataclasses.dataclass(frozen=True)
class Crop:
    """From decoded pixels to the square that training sees.

    Attributes:
      kind: "evaluation" sees what evaluation sees; "random_resized" and "distorted_box" scale a box of the image,
        see the functions of these names; "padded" cuts from evaluation's square, see `padded`.
      area: least and greatest share of the image's area.
      aspect: least and greatest width / height.
      padding: of "padded", in pixels.
      interpolation: of the box's scaling, see `resizing.scale`.
    """

    kind: str = "evaluation"
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    interpolation: str = "area"

    @classmethod
    def of(cls, augment: ConfigDict) -> "Crop":
        """As the fields of `config.augment` say."""
        return cls(augment.crop, augment.crop_area, augment.crop_aspect, augment.crop_padding, augment.interpolation)

    @property
    def draws(self) -> int:
        """How many uniform numbers `__call__` takes."""
        return _DRAWS * _ATTEMPTS[self.kind]

    def __call__(
        self,
        image_HxWxC: np.ndarray,
        size: int,
        square: Callable[[np.ndarray], np.ndarray],
        draws: np.ndarray,
        fill: Sequence[int],
    ) -> np.ndarray:
        """Pixels uint8 [size, size, C].

        Args:
          square: what evaluation does to the image.
          draws: in [0, 1), as many as `self.draws`.
          fill: a number a channel, beyond the borders.
        """
        if self.kind == "evaluation":
            return square(image_HxWxC)
        if self.kind == "padded":
            return padded(square(image_HxWxC), self.padding, draws, fill)
        find = random_resized if self.kind == "random_resized" else distorted_box
        height, width = image_HxWxC.shape[:2]
        top, left, rows, columns = find(height, width, self.area, self.aspect, draws.reshape(-1, _DRAWS))
        return scale(image_HxWxC[top : top + rows, left : left + columns], size, size, self.interpolation)


def random_resized(
    height: int, width: int, area: tuple[float, float], aspect: tuple[float, float], draws_Nx4: np.ndarray
) -> Box:
    """The box of torchvision's and timm's RandomResizedCrop (Szegedy et al. 2015).

    An attempt draws a share of the area from U(area), an aspect whose logarithm is uniform, and, if that fits into
    the image, one of all its places. After the last one: the largest central box of an allowed aspect.

    Args:
      draws_Nx4: an attempt a row: area, aspect, top, left.
    """
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for draws in draws_Nx4:
        share, log_aspect, down, right = draws.tolist()
        target = height * width * (area[0] + (area[1] - area[0]) * share)
        ratio = math.exp(low + (high - low) * log_aspect)
        columns, rows = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < columns <= width and 0 < rows <= height:
            return int(down * (height - rows + 1)), int(right * (width - columns + 1)), rows, columns
    ratio = min(max(width / height, aspect[0]), aspect[1])
    rows, columns = height, width
    if width / height < ratio:
        rows = max(1, round(width / ratio))
    elif width / height > ratio:
        columns = max(1, round(height * ratio))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def distorted_box(
    height: int, width: int, area: tuple[float, float], aspect: tuple[float, float], draws_Nx4: np.ndarray
) -> Box:
    """The box of TF-slim: TensorFlow's sample_distorted_bounding_box with the whole image as the object.

    An attempt draws an aspect from U(aspect), then one of the heights at which the box has an allowed area and fits
    into the image: heights are uniform, so that large areas are rarer than under `random_resized`. A box that covers
    less than a tenth of the image fails. Places are uniform, but a box that does not span a side never touches its
    end, as in TensorFlow's kernel, which computes in float32. After the last attempt: the whole image.

    Args:
      draws_Nx4: an attempt a row: aspect, height, top, left.
    """
    least = max(area[0], _MIN_OBJECT_COVERED) * height * width
    for draws in draws_Nx4:
        ratio, tall, down, right = draws.tolist()
        ratio = aspect[0] + (aspect[1] - aspect[0]) * ratio
        rows = _distorted_height(height, width, area, ratio, tall)
        columns = round(rows * ratio)
        if 0 < rows <= height and 0 < columns <= width and least <= rows * columns <= area[1] * height * width:
            return int(down * (height - rows)), int(right * (width - columns)), rows, columns
    return 0, 0, height, width


def _distorted_height(height: int, width: int, area: tuple[float, float], ratio: float, draw: float) -> int:
    least, most = (share * height * width for share in area)
    low, high = round(math.sqrt(least / ratio)), round(math.sqrt(most / ratio))
    if round(high * ratio) > width:
        high = int((width + 0.5 - 1e-7) / ratio)
        high -= round(high * ratio) > width
    high = min(high, height)
    low = min(low, high)
    rows = low + int(draw * (high - low + 1))
    # Rounding alone may have left the allowed areas: one row more or less is tried.
    if rows * round(rows * ratio) < least:
        rows += 1
    if rows * round(rows * ratio) > most:
        rows -= 1
    return rows


def padded(image_SxSxC: np.ndarray, padding: int, draws: np.ndarray, fill: Sequence[int]) -> np.ndarray:
    """CIFAR's crop (Lee et al. 2015; He et al. 2016, §4.2): padded on each side, then cut at one of all places.

    Args:
      draws: top, left; the others go unused.
    """
    if padding == 0:
        return image_SxSxC
    size, channels = image_SxSxC.shape[0], image_SxSxC.shape[2]
    top, left = (int(draw * (2 * padding + 1)) for draw in draws[:2].tolist())
    border = tuple(map(int, fill))
    wide = cv2.copyMakeBorder(image_SxSxC, padding, padding, padding, padding, cv2.BORDER_CONSTANT, value=border)
    wide = wide.reshape(size + 2 * padding, size + 2 * padding, channels)
    return np.ascontiguousarray(wide[top : top + size, left : left + size])
