"""From decoded pixels to the square that a network sees in evaluation, as each published implementation cuts it."""

from typing import Any

import cv2
import numpy as np
from PIL import Image

_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize_to_square(
    image_HxWxC: np.ndarray,
    size: int,
    *,
    resize: str = "whole_image",
    interpolation: str = "area",
    resize_size: int | None = None,
    crop_fraction: float = 1.0,
) -> np.ndarray:
    """The evaluation's pixels, uint8 [size, size, C]: a function of the image alone.

    Args:
      resize: "whole_image" scales all of it, without keeping the aspect (Keras); "shorter_side" scales the shorter
        side to `resize_size` and cuts the central square, its offset rounded half to even (torchvision, timm) or, as
        "shorter_side_floor", down (HuggingFace); "central_fraction" cuts the central `crop_fraction` of each side and
        scales that (TF-slim).
      interpolation: see `scale`.
      resize_size: in pixels; `size` where None.
    """
    if resize == "whole_image":
        return scale(image_HxWxC, size, size, interpolation)
    if resize == "central_fraction":
        return scale(_central_fraction(image_HxWxC, crop_fraction), size, size, interpolation)
    image_HxWxC = _not_too_long(image_HxWxC)
    height, width = _with_shorter_side(image_HxWxC.shape[:2], resize_size or size)
    scaled = scale(image_HxWxC, height, width, interpolation)
    top, left = (_half(side - size, resize) for side in (height, width))
    return np.ascontiguousarray(scaled[top : top + size, left : left + size])


def scale(image_HxWxC: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """The image scaled to [height, width, C], uint8.

    Args:
      interpolation: "nearest", "box", "bilinear", "bicubic" and "lanczos" are Pillow's, which average where they
        shrink (nearest does not); "area" is OpenCV's mean where both sides shrink and linear elsewhere, nearly as
        Pillow's bilinear and faster; "linear" is OpenCV's, which averages nothing, as TensorFlow's; "bilinear_tf1" is
        that of TensorFlow 1, which reads output pixel i at i · in / out.
    """
    if image_HxWxC.shape[:2] == (height, width):
        return image_HxWxC
    channels = image_HxWxC.shape[2]
    if interpolation in _PILLOW:
        flat = image_HxWxC if channels == 3 else image_HxWxC[..., 0]
        scaled: Any = np.asarray(Image.fromarray(flat).resize((width, height), _PILLOW[interpolation]))
    elif interpolation == "bilinear_tf1":
        scaled = _bilinear_tf1(image_HxWxC, height, width)
    else:
        shrinks = image_HxWxC.shape[0] > height and image_HxWxC.shape[1] > width
        filter_ = cv2.INTER_AREA if interpolation == "area" and shrinks else cv2.INTER_LINEAR
        scaled = cv2.resize(image_HxWxC, (width, height), interpolation=filter_)
    # Pillow and OpenCV leave out an axis of one channel.
    return scaled.reshape(height, width, channels)


def _central_fraction(image_HxWxC: np.ndarray, fraction: float) -> np.ndarray:
    """As `tf.image.central_crop`: what is cut off on either side is rounded down, so that more than that may stay."""
    height, width = image_HxWxC.shape[:2]
    top, left = int((height - height * fraction) / 2), int((width - width * fraction) / 2)
    return image_HxWxC[top : height - top, left : width - left]


def _with_shorter_side(sides: tuple[int, ...], shorter: int) -> tuple[int, int]:
    """(height, width) of which the shorter is so long; the longer one is rounded down."""
    height, width = sides
    return (shorter, int(shorter * width / height)) if height <= width else (int(shorter * height / width), shorter)


def _not_too_long(image_HxWxC: np.ndarray) -> np.ndarray:
    """The middle of an image that is over 32 times as long as wide: scaled whole it might not fit into memory."""
    longest = 32 * min(image_HxWxC.shape[:2])
    top, left = (max(0, (side - longest) // 2) for side in image_HxWxC.shape[:2])
    return image_HxWxC[top : top + longest, left : left + longest]


def _half(left_over: int, resize: str) -> int:
    # Python rounds a half to the even side, and so does torchvision.
    return left_over // 2 if resize == "shorter_side_floor" else round(left_over / 2)


def _bilinear_tf1(image_HxWxC: np.ndarray, height: int, width: int) -> np.ndarray:
    """TF1's resize_bilinear(align_corners=False): no half-pixel centres, no average."""

    def along(length: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = np.arange(out, dtype=np.float32) * np.float32(length / out)
        low = place.astype(np.int64)
        return low, np.minimum(low + 1, length - 1), place - low

    rows, rows_after, down = along(image_HxWxC.shape[0], height)
    columns, columns_after, right = along(image_HxWxC.shape[1], width)
    down, right = down[:, None, None], right[None, :, None]

    def across(row: np.ndarray) -> np.ndarray:
        strip = image_HxWxC[row].astype(np.float32)
        return strip[:, columns] * (1 - right) + strip[:, columns_after] * right

    return np.round(across(rows) * (1 - down) + across(rows_after) * down).astype(np.uint8)
