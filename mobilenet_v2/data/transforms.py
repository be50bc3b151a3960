"""Records to examples: {"image": uint8 [H, W, 3], "label": int32, "mask": float32}.

An image that can't be decoded becomes zeros with mask 0: the batch keeps its shape, every mean leaves the row
out, and the loop counts it. Raising instead would end a reader without a word.
"""

import dataclasses
from typing import Any

import cv2
import grain.python as grain
import numpy as np

Example = dict[str, Any]


def decode(encoded: bytes) -> np.ndarray:
    """RGB uint8 [H, W, 3] of an encoded image; grey ones are repeated over the channels.

    Raises:
      ValueError: if OpenCV can't read it.
    """
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB) if encoded else None
    except cv2.error:  # a header that promises a huge image, say
        image = None
    if image is None:
        raise ValueError(f"can't decode an image of {len(encoded)} bytes that begins with {encoded[:8]!r}")
    return image


def example(record: Example, size: int) -> Example:
    """Decodes and resizes one record: the example that evaluation sees."""
    valid = record.get("valid", True)
    try:
        image = resize(decode(record["image"]), size)
    except ValueError:
        image, valid = np.zeros((size, size, 3), np.uint8), False
    return {"image": image, "label": np.int32(record["label"]), "mask": np.float32(valid)}


def resize(image_HxWx3: np.ndarray, size: int) -> np.ndarray:
    """Scales to [size, size, 3]; averaging where both sides shrink, so that nothing aliases."""
    if image_HxWx3.shape[:2] == (size, size):
        return image_HxWx3
    shrinks = min(image_HxWx3.shape[:2]) > size
    return cv2.resize(image_HxWx3, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@dataclasses.dataclass(frozen=True)
class Augment(grain.RandomMapTransform):
    """Decodes, resizes, and turns, zooms, shifts and mirrors at random, filling with black.

    Attributes:
      size: of the result, in pixels.
      rotation: largest turn, in degrees.
      zoom: scale factors are in U(1 − zoom, 1 + zoom).
      shift: largest move along each axis, as a share of the side.
      flip: mirror left–right with probability ½.
    """

    size: int
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        """Draws the same numbers whatever the settings, so that switching one on leaves the others alone."""
        turn, zoom, right, down, mirror = rng.uniform(-1, 1, 5)
        result = example(element, self.size)
        image = result["image"]
        if self.rotation or self.zoom or self.shift:
            centre = ((self.size - 1) / 2, (self.size - 1) / 2)
            affine = cv2.getRotationMatrix2D(centre, turn * self.rotation, 1 + zoom * self.zoom)
            affine[:, 2] += self.size * self.shift * np.array([right, down])
            image = cv2.warpAffine(image, affine, (self.size, self.size), flags=cv2.INTER_LINEAR)
        if self.flip and mirror < 0:
            image = np.ascontiguousarray(image[:, ::-1])
        return {**result, "image": image}
