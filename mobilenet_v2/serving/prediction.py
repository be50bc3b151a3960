"""Photographs to features and predictions, made ready as the network's weights want them."""

import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from mobilenet_v2.data.decode import composite, decode
from mobilenet_v2.data.resizing import resize_to_square
from mobilenet_v2.errors import DataError, WeightsError
from mobilenet_v2.models.variants import Preprocessing

Photograph = str | os.PathLike[str] | bytes | np.ndarray | Image.Image

BATCH = 32


class Prediction(NamedTuple):
    """A class that a picture may be of: its logit's index, its name, its probability."""

    label: int
    name: str
    probability: float


def predict(
    model: Any, variables: Any, images: Photograph | Sequence[Photograph], top: int = 5
) -> list[list[Prediction]]:
    """The `top` likeliest classes of each image, likeliest first.

    Args:
      model, variables: as `load_pretrained` returns them.
      images: one or many: paths, encoded bytes, Pillow's images, or pixels uint8 [H, W, C] of any size, not normalised.

    Raises:
      WeightsError: if the network does not say how images are made ready, or has no classifier.
      DataError: if an image can't be read.

    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import Preprocessing
    >>> model = mnv2.create_model(stages=((1, 8, 1, 1),), head_channels=16, num_classes=2)
    >>> seen = Preprocessing("whole_image", "bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_size=32)
    >>> model = mnv2.with_preprocessing(model, seen, class_names=("cat", "dog"))
    >>> [ranked] = predict(model, mnv2.init(model, 32), np.zeros((48, 64, 3), np.uint8))
    >>> sorted(one.name for one in ranked), round(sum(one.probability for one in ranked), 3)
    (['cat', 'dog'], 1.0)
    """
    if not model.num_classes:
        raise WeightsError("the network has no classifier, must have one to predict: use features instead")
    return [
        prediction
        for batch in _prepared(model, images)
        for prediction in predict_prepared(model, variables, batch, top)
    ]


def predict_prepared(model: Any, variables: Any, pixels: Sequence[np.ndarray], top: int = 5) -> list[list[Prediction]]:
    """As `predict`, of at most 32 images that `prepare` has made ready."""
    return [likeliest(model, row, top) for row in np.asarray(jax.nn.softmax(_run(model, variables, pixels, "logits")))]


def likeliest(model: Any, probabilities_K: np.ndarray, top: int) -> list[Prediction]:
    """The `top` likeliest classes, with the names that the network's weights have for them."""
    names = model.provenance.class_names if model.provenance else ()
    best = np.argsort(-probabilities_K, kind="stable")[:top]
    return [Prediction(int(k), _name(names, int(k)), float(probabilities_K[k])) for k in best]


def features(
    model: Any, variables: Any, images: Photograph | Sequence[Photograph], endpoint: str = "pooled"
) -> np.ndarray:
    """What the network makes of each image: float32 [N, C] where pooled, [N, H, W, C] within.

    Args:
      model, variables, images: as for `predict`.
      endpoint: of `model.endpoint_names()`: "pooled", "features", "block_05", "block_05/expansion", ….

    Raises:
      WeightsError: if the network does not say how images are made ready.
      DataError: if an image can't be read.
      ValueError: if the network has no such endpoint.

    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import Preprocessing
    >>> model = mnv2.create_model(stages=((1, 8, 1, 1),), head_channels=16, num_classes=2)
    >>> seen = Preprocessing("whole_image", "bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_size=32)
    >>> model, photograph = mnv2.with_preprocessing(model, seen), np.zeros((48, 64, 3), np.uint8)
    >>> features(model, mnv2.init(model, 32), photograph).shape
    (1, 16)
    >>> features(model, mnv2.init(model, 32), [photograph, photograph], endpoint="block_00").shape
    (2, 16, 16, 8)
    """
    return np.concatenate([_run(model, variables, batch, endpoint) for batch in _prepared(model, images)])


def prepare(image: Photograph, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels uint8 [size, size, C] as evaluation sees them.

    Where `preprocessing` does not say otherwise a photograph is turned as its camera noted, and what is transparent is
    over black. Pixels are taken as they are.

    Raises:
      DataError: if it can't be read, or is no image.

    >>> from mobilenet_v2.models.variants import PREPROCESSING
    >>> prepare(np.zeros((480, 640, 3), np.uint8), PREPROCESSING["timm"]).shape
    (224, 224, 3)
    """
    pixels = _pixels(image, preprocessing)
    return resize_to_square(
        pixels,
        preprocessing.crop_size,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        resize_size=preprocessing.resize_size,
        crop_fraction=preprocessing.crop_fraction,
    )


def decoded(encoded: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels uint8 [H, W, C] of an encoded image, before it is resized; see `prepare`.

    Raises:
      ValueError: as `decode`.
    """
    return decode(encoded, *_decoding(preprocessing))


def _decoding(preprocessing: Preprocessing) -> tuple[int, tuple[int, int, int], bool]:
    """Channels, background, and whether images are turned."""
    turned = preprocessing.exif_orientation is not False
    return len(preprocessing.mean), preprocessing.background or (0, 0, 0), turned


def preprocessing_of(model: Any) -> Preprocessing:
    """How images are made ready for the network.

    Raises:
      WeightsError: if nothing says so.
    """
    if model.provenance is None or model.provenance.preprocessing is None:
        raise WeightsError(
            "the network does not say how images are made ready for its weights: it must come of load_pretrained, or "
            "be told by with_preprocessing"
        )
    return model.provenance.preprocessing


def _prepared(model: Any, images: Photograph | Sequence[Photograph]) -> Iterator[list[np.ndarray]]:
    """Batch by batch."""
    preprocessing = preprocessing_of(model)
    several: Any = images if isinstance(images, list | tuple) else [images]
    for start in range(0, len(several), BATCH):
        yield [prepare(image, preprocessing) for image in several[start : start + BATCH]]


def _run(model: Any, variables: Any, pixels: Sequence[np.ndarray], endpoint: str) -> np.ndarray:
    """An endpoint of a batch, which is filled up to a power of two, so that few shapes are compiled."""
    preprocessing = preprocessing_of(model)
    full = 1 << (len(pixels) - 1).bit_length()
    batch_BxHxWxC = np.stack([*pixels, *[np.zeros_like(pixels[0])] * (full - len(pixels))])
    run = _compiled(model, endpoint, preprocessing.mean, preprocessing.std)
    return np.asarray(run(variables, batch_BxHxWxC))[: len(pixels)]


def normalise(image_BxHxWxC: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """A network's input, float32, of pixels in 0 … 255."""
    return (image_BxHxWxC.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)


@functools.cache
def _compiled(model: Any, endpoint: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    @jax.jit
    def run(variables: Any, image_BxHxWxC: jax.Array) -> jax.Array:
        return model.endpoints(variables, normalise(image_BxHxWxC, mean, std), [endpoint])[endpoint]

    return run


def _pixels(image: Photograph, preprocessing: Preprocessing) -> np.ndarray:
    channels = len(preprocessing.mean)
    if isinstance(image, Image.Image):
        return _of_pillow(image, preprocessing)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != channels or 0 in image.shape:
            raise DataError(
                f"an image is {image.dtype} {list(image.shape)}, must be uint8 [height, width, {channels}], from 0 to "
                "255: normalised images are for model.apply"
            )
        return image
    name = "bytes" if isinstance(image, bytes) else os.fspath(image)
    try:
        encoded = image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()
        return decoded(encoded, preprocessing)
    except OSError as error:
        raise DataError(f"image {name!r} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"image {name!r} can't be read: {error}") from error


def _of_pillow(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels of an image that Pillow has decoded."""
    channels, background, upright = _decoding(preprocessing)
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.fromarray(composite(np.asarray(image.convert("RGBA")), background))
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f"class {label}"
