"""Encoded images to pixels: JPEG by libjpeg-turbo, anything else by OpenCV."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from PIL import Image

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# From here on Pillow warns of a decompression bomb.
_MAX_PIXELS = 89_478_485
_EXIF_ORIENTATION = 0x0112
# What brings pixels that were stored in orientation 2 … 8 upright (EXIF 2.3, §4.6.4).
_UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x[:, ::-1].swapaxes(0, 1),
}
_BLACK = (0, 0, 0)


def decode(
    encoded: bytes, channels: int = 3, background: Sequence[int] = _BLACK, exif_orientation: bool = False
) -> np.ndarray:
    """Pixels uint8 [H, W, channels] of a JPEG, PNG, WebP or whatever else OpenCV reads, whatever its name says.

    Args:
      channels: 3 are RGB, of which a grey image has three alike; 1 is grey, to which colours are weighted (ITU-R
        BT.601). CMYK becomes RGB without a colour profile, as in Pillow and TensorFlow; 16 bits become 8.
      background: red, green and blue that lie behind what is transparent.
      exif_orientation: turn as the camera noted. The published ImageNet results leave pixels as they are stored.

    Raises:
      ValueError: if it is no image, ends early, or has more than 89 million pixels. A JPEG with damage that
        libjpeg mends, stray bytes say, is read all the same, as by Pillow and torchvision.
    """
    if _pixels(encoded) > _MAX_PIXELS:
        raise ValueError(f"can't decode an image of {_pixels(encoded)} pixels, must be at most {_MAX_PIXELS}")
    image = _decode_jpeg(encoded, channels) if encoded[:3] == _JPEG else None
    if image is None:
        image = _decode_other(encoded, channels, background)
    if image is None:
        raise ValueError(f"can't decode an image of {len(encoded)} bytes that begins with {encoded[:8]!r}")
    if exif_orientation:
        image = np.ascontiguousarray(_UPRIGHT.get(_orientation(encoded), lambda x: x)(image))
    return image


def _pixels(encoded: bytes) -> int:
    """Height × width that the header of a JPEG or PNG promises; 0 where there is none that can be read."""
    if encoded[:8] == _PNG:
        return int.from_bytes(encoded[16:20], "big") * int.from_bytes(encoded[20:24], "big")
    if encoded[:3] != _JPEG:
        return 0
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError:
        return 0
    return int(height) * int(width)


def _decode_jpeg(encoded: bytes, channels: int) -> np.ndarray | None:
    try:
        return simplejpeg.decode_jpeg(encoded, {1: "GRAY", 3: "RGB"}[channels])
    except ValueError:
        return None


def _decode_other(encoded: bytes, channels: int, background: Sequence[int]) -> np.ndarray | None:
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED) if encoded else None
    except cv2.error:  # a header that promises a huge image, say
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 4:
        image = _composite(image, background)
    if image.ndim == 2:
        return np.repeat(image[..., None], channels, axis=2)
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _composite(image_HxWx4: np.ndarray, background: Sequence[int]) -> np.ndarray:
    """Blue, green, red over a background: α · pixel + (1 − α) · background, rounded."""
    behind = np.array(background[::-1], np.uint16)
    alpha = image_HxWx4[..., 3:].astype(np.uint16)
    blended = image_HxWx4[..., :3] * alpha + behind * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def _orientation(encoded: bytes) -> int:
    """EXIF's orientation, 1 where there is none that can be read."""
    if b"Exif" not in encoded[:65536] and b"EXIF" not in encoded and b"eXIf" not in encoded:
        return 1
    try:
        return int(Image.open(io.BytesIO(encoded)).getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1
