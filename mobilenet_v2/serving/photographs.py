"""Photographs of any kind to pixels, made ready as a network's weights want them."""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from mobilenet_v2.data.decode import PILLOW_ERRORS, composite, decode
from mobilenet_v2.data.resizing import resize_to_square
from mobilenet_v2.errors import DataError
from mobilenet_v2.models.variants import Preprocessing

Photograph = str | os.PathLike[str] | bytes | np.ndarray | Image.Image
Photographs = Photograph | Iterable[Photograph]


def prepare(image: Photograph, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels uint8 [size, size, C] as evaluation sees them, of a path, encoded bytes, Pillow's image or pixels.

    Where `preprocessing` does not say otherwise a photograph is turned as its camera noted, and what is transparent is
    over black. Pixels are uint8 [H, W, C] and taken as they are; C is 3, or 1 where `preprocessing` has one channel.

    Raises:
      DataError: if it can't be read, or is no image.

    >>> import numpy as np
    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import PREPROCESSING
    >>> mnv2.prepare(np.zeros((480, 640, 3), np.uint8), PREPROCESSING["timm"]).shape
    (224, 224, 3)
    """
    return _prepared(image, preprocessing, None)


def each_prepared(images: Photographs, preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """What `prepare` makes of one image, or of each of several: of any iterable, or pixels [N, H, W, C].

    Raises:
      DataError: as `prepare`, with the image's place among several; or if it is neither an image nor several.
    """
    if isinstance(images, str | os.PathLike | bytes | Image.Image):
        yield prepare(images, preprocessing)
        return
    several: Any = np.asarray(images) if hasattr(images, "__array__") else images
    if isinstance(several, np.ndarray) and several.ndim != 4 and several.dtype.kind not in "OUS":
        yield prepare(several, preprocessing)
        return
    if not isinstance(several, Iterable):
        raise DataError(
            f"images are {images!r}, must be a path, encoded bytes, Pillow's image or pixels uint8 [height, width, "
            f"{len(preprocessing.mean)}], or several of these"
        )
    for index, image in enumerate(several):
        yield _prepared(image, preprocessing, f"images[{index}]")


def decoded(encoded: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels uint8 [H, W, C] of an encoded image, before it is resized; see `prepare`.

    Raises:
      ValueError: as `decode`.
    """
    return decode(encoded, *_decoding(preprocessing))


def _prepared(image: Any, preprocessing: Preprocessing, place: str | None) -> np.ndarray:
    """As `prepare`; `place` is what an image without a name is called, where it is one of several."""
    return resize_to_square(
        _pixels(image, preprocessing, place),
        preprocessing.crop_size,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        resize_size=preprocessing.resize_size,
        crop_fraction=preprocessing.crop_fraction,
    )


def _decoding(preprocessing: Preprocessing) -> tuple[int, tuple[int, int, int], bool]:
    """Channels, background, and whether images are turned."""
    turned = preprocessing.exif_orientation is not False
    return len(preprocessing.mean), preprocessing.background or (0, 0, 0), turned


def _pixels(image: Any, preprocessing: Preprocessing, place: str | None) -> np.ndarray:
    name = place or "an image"
    if isinstance(image, str | os.PathLike):
        name = f"image {os.fspath(image)!r}"
    elif isinstance(image, bytes):
        name = place or "image 'bytes'"
    elif not isinstance(image, Image.Image):
        return _checked(image, len(preprocessing.mean), name)
    try:
        if isinstance(image, Image.Image):
            return _of_pillow(image, preprocessing)
        return decoded(image if isinstance(image, bytes) else pathlib.Path(image).read_bytes(), preprocessing)
    except PILLOW_ERRORS as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{name} can't be read: {said}") from error


def _checked(image: Any, channels: int, name: str) -> np.ndarray:
    """The pixels of an array, of any library that makes NumPy's of its own."""
    must = f"must be uint8 [height, width, {channels}], from 0 to 255"
    if not hasattr(image, "__array__"):
        raise DataError(
            f"{name} is {image!r:.80}, must be a path, encoded bytes, Pillow's image, or pixels, which {must}"
        )
    pixels = np.asarray(image)
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[-1] == channels and 0 not in pixels.shape:
        return pixels
    raise DataError(f"{name} is {pixels.dtype} {list(pixels.shape)}, {must}{_advice(pixels, channels)}")


def _advice(pixels: np.ndarray, channels: int) -> str:
    """What to do with pixels that can't be taken as they are."""
    if pixels.dtype.kind == "f":
        return ": normalised images are for model.apply"
    if 0 in pixels.shape:
        return ""
    if pixels.ndim == 4:
        return ": several are a list, list(images)"
    if pixels.dtype != np.uint8:
        return ": pixels.astype('uint8') where they are"
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        return ": grey pixels are taken as PIL.Image.fromarray(pixels[..., 0])"
    if pixels.ndim == 2 or pixels.shape[-1] in {1, 3, 4} - {channels}:
        return ": grey, coloured or transparent pixels are taken as PIL.Image.fromarray(pixels)"
    return ""


def _of_pillow(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels of an image that Pillow has decoded."""
    channels, background, upright = _decoding(preprocessing)
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.fromarray(composite(np.asarray(image.convert("RGBA")), background))
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)
