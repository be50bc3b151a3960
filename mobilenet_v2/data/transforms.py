"""Records to examples: {"image": uint8 [H, W, C], "label": int32, "mask": float32}.

An image that can't be decoded becomes zeros with mask 0: the batch keeps its shape, every mean leaves the row
out, and the loop counts it. Raising instead would end a reader without a word.
"""

import dataclasses
from typing import Any

import cv2
import grain.python as grain
import numpy as np

Example = dict[str, Any]


def decode(encoded: bytes, channels: int = 3) -> np.ndarray:
    """Pixels uint8 [H, W, channels] of an encoded image.

    3 channels are RGB, of which a grey image has three alike; 1 is grey, to which colours are weighted (ITU-R BT.601).

    Raises:
      ValueError: if OpenCV can't read it.
    """
    flag = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR_RGB}[channels]
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag) if encoded else None
    except cv2.error:  # a header that promises a huge image, say
        image = None
    if image is None:
        raise ValueError(f"can't decode an image of {len(encoded)} bytes that begins with {encoded[:8]!r}")
    return image.reshape(*image.shape[:2], channels)


def example(record: Example, size: int, channels: int = 3) -> Example:
    """Decodes and resizes one record: the example that evaluation sees."""
    valid = record.get("valid", True)
    try:
        image = resize(decode(record["image"], channels), size)
    except ValueError:
        image, valid = np.zeros((size, size, channels), np.uint8), False
    return {"image": image, "label": np.int32(record["label"]), "mask": np.float32(valid)}


def resize(image_HxWxC: np.ndarray, size: int) -> np.ndarray:
    """Scales to [size, size, C]; averaging where both sides shrink, so that nothing aliases."""
    if image_HxWxC.shape[:2] == (size, size):
        return image_HxWxC
    interpolation = cv2.INTER_AREA if min(image_HxWxC.shape[:2]) > size else cv2.INTER_LINEAR
    # OpenCV leaves out an axis of one channel.
    return cv2.resize(image_HxWxC, (size, size), interpolation=interpolation).reshape(size, size, -1)


@dataclasses.dataclass(frozen=True)
class Augment(grain.RandomMapTransform):
    """Decodes, resizes, and turns, zooms, shifts and mirrors at random, filling with black.

    Attributes:
      size: of the result, in pixels.
      rotation: largest turn, in degrees.
      zoom: scale factors are in U(1 − zoom, 1 + zoom).
      shift: largest move along each axis, as a share of the side.
      flip: mirror left–right with probability ½.
      channels: 3 or 1, see `decode`.
    """

    size: int
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    channels: int = 3

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        """Draws the same numbers whatever the settings, so that switching one on leaves the others alone."""
        turn, zoom, right, down, mirror = rng.uniform(-1, 1, 5)
        result = example(element, self.size, self.channels)
        image = result["image"]
        if self.rotation or self.zoom or self.shift:
            centre = ((self.size - 1) / 2, (self.size - 1) / 2)
            affine = cv2.getRotationMatrix2D(centre, turn * self.rotation, 1 + zoom * self.zoom)
            affine[:, 2] += self.size * self.shift * np.array([right, down])
            image = cv2.warpAffine(image, affine, (self.size, self.size), flags=cv2.INTER_LINEAR)
            image = image.reshape(self.size, self.size, self.channels)
        if self.flip and mirror < 0:
            image = np.ascontiguousarray(image[:, ::-1])
        return {**result, "image": image}
