"""Encoded images to pixels: JPEG by libjpeg-turbo, by Pillow where it has damage; anything else by OpenCV."""

import io
import os
import struct
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin

from mobilenet_v2.data.image_headers import FORMATS, JPEG, PNG, bare_png, image_size

# What can't be decoded is told by whoever asked, once; OpenCV and the libraries in it would write lines of their own.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# From here on Pillow warns of a decompression bomb.
_MAX_PIXELS = 89_478_485
_EXIF_ORIENTATION = 0x0112
_PNG_COLOUR, _PNG_HEAD = 25, 65536  # where its colour type stands, and how far before the pixels a tRNS may
# Pillow's, of files that are damaged in one of a dozen ways.
PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)
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
# What OpenCV does to a TIFF in such an orientation is undone by the one for this.
_BACK = {6: 8, 8: 6}
_BLACK = (0, 0, 0)
_TIFF = (b"II", b"MM")
# Formats in which OpenCV loses the transparency of grey pixels, or refuses them.
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
warnings.filterwarnings("ignore", "Corrupt EXIF data")  # of Pillow; orientation then is as if there were none


def decode(
    encoded: bytes, channels: int = 3, background: Sequence[int] = _BLACK, exif_orientation: bool = False
) -> np.ndarray:
    """Pixels uint8 [H, W, channels] of an image of any format that `image_headers.image_size` knows, by its content.

    Args:
      channels: 3 are RGB, of which a grey image has three alike; 1 is grey, to which colours are weighted (ITU-R
        BT.601). CMYK becomes RGB without a colour profile, most values one level
        below or above Pillow's, none more than two; 16 bits become 8.
      background: red, green and blue that lie behind what is transparent.
      exif_orientation: turn as the camera noted. The published ImageNet results leave pixels as they are stored.

    Raises:
      ValueError: if it is no image, ends early, is a PNG with a wrong checksum, has numbers other than unsigned ones of
        8 or 16 bits; or if its header promises more than 89 million pixels, before memory is taken for them. A JPEG
        with damage that libjpeg mends, stray bytes say, is read all the same, as by Pillow and torchvision.
    """
    _check_header(encoded)
    if encoded.startswith(JPEG):
        image = _decode_jpeg(encoded, channels)
    else:
        image = _decode_other(encoded, channels, background)
    if image is None:
        raise ValueError(
            f"can't decode an image of {len(encoded)} bytes that begins with {encoded[:8]!r}: it is damaged, or ends "
            "early"
        )
    if exif_orientation != encoded.startswith(_TIFF):  # OpenCV turns these by itself
        orientation = _orientation(encoded)
        orientation = orientation if exif_orientation else _BACK.get(orientation, orientation)
        image = np.ascontiguousarray(_UPRIGHT.get(orientation, lambda x: x)(image))
    return image


def _check_header(encoded: bytes) -> None:
    """Refuses what is of no format that we know, or is too large."""
    size = image_size(encoded)
    if size is None:
        raise ValueError(
            f"can't decode an image of {len(encoded)} bytes that begins with {encoded[:8]!r}, must be a whole {FORMATS}"
        )
    pixels = size[0] * size[1]
    if pixels > _MAX_PIXELS:
        raise ValueError(f"can't decode an image of {pixels} pixels, must be at most {_MAX_PIXELS}")


def _decode_jpeg(encoded: bytes, channels: int) -> np.ndarray | None:
    mode = {1: "GRAY", 3: "RGB"}[channels]
    try:
        return simplejpeg.decode_jpeg(encoded, mode)
    except ValueError:
        return _decode_damaged_jpeg(encoded, channels)


def _decode_damaged_jpeg(encoded: bytes, channels: int) -> np.ndarray | None:
    """What libjpeg warns of, by Pillow: it reads what is mended, refuses what ends early, and writes no lines."""
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(encoded))
        if channels == 1:
            image.draft("L", None)  # luminance as it is stored
        return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(image.height, image.width, channels)
    except (OSError, ValueError, SyntaxError):
        return None


def _decode_other(encoded: bytes, channels: int, background: Sequence[int]) -> np.ndarray | None:
    image = _transparent_grey(encoded)
    if image is None:
        try:
            # OpenCV passes over checksums, and libpng then tells on stderr what it stumbles over.
            bare = bare_png(encoded) if encoded.startswith(PNG) else encoded
            image = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    if image is None:
        return None
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"can't decode an image of {len(encoded)} bytes, whose pixels are of type {image.dtype}, must be uint8 or "
            "uint16"
        )
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 4:
        image = composite(image, background[::-1])
    if image.ndim == 2:
        return np.repeat(image[..., None], channels, axis=2)
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _transparent_grey(encoded: bytes) -> np.ndarray | None:
    """Blue, green, red and alpha of grey pixels that have some, by Pillow; None where OpenCV does as well."""
    grey_png = encoded.startswith(PNG) and encoded[_PNG_COLOUR] == 0 and b"tRNS" in encoded[:_PNG_HEAD]
    if not grey_png and not encoded.startswith((*_TIFF, *_JPEG_2000)):
        return None
    try:
        image = Image.open(io.BytesIO(encoded))
        if image.mode not in ("LA", "PA") and not (grey_png and image.mode in ("1", "L")):
            return None
        return np.asarray(image.convert("RGBA"))[..., [2, 1, 0, 3]]  # of a TIFF upright, as OpenCV's are
    except PILLOW_ERRORS:
        return None


def composite(image_HxWx4: np.ndarray, background: Sequence[int]) -> np.ndarray:
    """Three colours with α last, uint8, over a background in the same order: α · colour + (1 − α) · that, rounded."""
    behind = np.array(background, np.uint16)
    alpha = image_HxWx4[..., 3:].astype(np.uint16)
    blended = image_HxWx4[..., :3] * alpha + behind * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def _orientation(encoded: bytes) -> int:
    """EXIF's orientation, 1 where there is none that can be read."""
    told = b"Exif" in encoded[:65536] or b"EXIF" in encoded or b"eXIf" in encoded
    if not told and not encoded.startswith(_TIFF) and encoded[4:8] != b"ftyp":  # AVIF has boxes of its own for it
        return 1
    try:
        return int(Image.open(io.BytesIO(encoded)).getexif().get(_EXIF_ORIENTATION, 1))
    except PILLOW_ERRORS:
        return 1
