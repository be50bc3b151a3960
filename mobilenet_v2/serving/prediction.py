"""Photographs to features and predictions, made ready as the network's weights want them."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.numbers import whole_number
from mobilenet_v2.serving.photographs import Photographs, each_prepared
from mobilenet_v2.serving.variables import misfit

BATCH = 32


class Prediction(NamedTuple):
    """A class that a picture may be of: its logit's index, its name, its probability."""

    label: int
    name: str
    probability: float


def predict(model: Any, variables: Any, images: Photographs, top: int = 5) -> list[list[Prediction]]:
    """The `top` likeliest classes of each image, likeliest first.

    Args:
      model, variables: as `load_pretrained` returns them.
      images: one, or any iterable of many: paths, encoded bytes, Pillow's images, or pixels uint8 [H, W, C] of any
        size, not normalised, of NumPy, JAX or whatever makes NumPy's arrays; many of one size may be [N, H, W, C]. C is
        3, or 1 where the network's images are grey. What is transparent lies over black.
      top: how many classes; of a network that has fewer, all.

    Raises:
      WeightsError: if the network does not say how images are made ready, or has no classifier, or the variables are
        not its own.
      DataError: if an image can't be read, or is none; it says which.
      ValueError: if `top` is no integer ≥ 1.

    >>> import numpy as np
    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import Preprocessing
    >>> model = mnv2.create_model(stages=((1, 8, 1, 1),), head_channels=16, num_classes=2)
    >>> seen = Preprocessing("whole_image", "bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_size=32)
    >>> model = mnv2.with_preprocessing(model, seen, class_names=("cat", "dog"))
    >>> [ranked] = mnv2.predict(model, mnv2.init(model, 32), np.zeros((48, 64, 3), np.uint8))
    >>> sorted(one.name for one in ranked), round(sum(one.probability for one in ranked), 3)
    (['cat', 'dog'], 1.0)
    """
    if not model.num_classes:
        raise WeightsError("the network has no classifier, must have one to predict: use features instead")
    whole_number("top", top, least=1)
    return [
        prediction for batch in _batches(model, images) for prediction in predict_prepared(model, variables, batch, top)
    ]


def predict_prepared(model: Any, variables: Any, pixels: Sequence[np.ndarray], top: int = 5) -> list[list[Prediction]]:
    """As `predict`, of at most 32 images that `prepare` has made ready."""
    return [likeliest(model, row, top) for row in np.asarray(jax.nn.softmax(_run(model, variables, pixels, "logits")))]


def likeliest(model: Any, probabilities_K: np.ndarray, top: int) -> list[Prediction]:
    """The `top` likeliest classes, with the names that the network's weights have for them."""
    names = model.provenance.class_names if model.provenance else ()
    best = np.argsort(-probabilities_K, kind="stable")[:top]
    return [Prediction(int(k), _name(names, int(k)), float(probabilities_K[k])) for k in best]


def features(model: Any, variables: Any, images: Photographs, endpoint: str = "pooled") -> np.ndarray:
    """What the network makes of each image: float32 [N, C] where pooled, [N, H, W, C] within; N may be 0.

    Args:
      model, variables, images: as for `predict`.
      endpoint: of `model.endpoint_names()`: "pooled", "features", "block_05", "block_05/expansion", "logits", ….

    Raises:
      WeightsError: if the network does not say how images are made ready, or the variables are not its own.
      DataError: if an image can't be read, or is none; it says which.
      ValueError: if the network has no such endpoint.

    >>> import numpy as np
    >>> import mobilenet_v2 as mnv2
    >>> from mobilenet_v2.models.variants import Preprocessing
    >>> model = mnv2.create_model(stages=((1, 8, 1, 1),), head_channels=16, num_classes=2)
    >>> seen = Preprocessing("whole_image", "bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_size=32)
    >>> model, photograph = mnv2.with_preprocessing(model, seen), np.zeros((48, 64, 3), np.uint8)
    >>> mnv2.features(model, mnv2.init(model, 32), photograph).shape
    (1, 16)
    >>> mnv2.features(model, mnv2.init(model, 32), [photograph, photograph], endpoint="block_00").shape
    (2, 16, 16, 8)
    """
    if not isinstance(endpoint, str):
        raise ValueError(f"endpoint is {endpoint!r}, must be one name; model.endpoints has several at once")
    model.check_endpoints([endpoint])
    found = [_run(model, variables, batch, endpoint) for batch in _batches(model, images)]
    if not found:
        size, channels = preprocessing_of(model).crop_size, len(preprocessing_of(model).mean)
        return _run(model, variables, [np.zeros((size, size, channels), np.uint8)], endpoint)[:0]
    return np.concatenate(found)


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


def _batches(model: Any, images: Photographs) -> Iterator[list[np.ndarray]]:
    """At most `BATCH` images at a time, made ready."""
    ready = each_prepared(images, preprocessing_of(model))
    while batch := list(itertools.islice(ready, BATCH)):
        yield batch


def _run(model: Any, variables: Any, pixels: Sequence[np.ndarray], endpoint: str) -> np.ndarray:
    """An endpoint of a batch, which is filled up to a power of two, so that few shapes are compiled."""
    preprocessing = preprocessing_of(model)
    full = 1 << (len(pixels) - 1).bit_length()
    batch_BxHxWxC = np.stack([*pixels, *[np.zeros_like(pixels[0])] * (full - len(pixels))])
    run = _compiled(model, endpoint, preprocessing.mean, preprocessing.std)
    try:
        return np.asarray(run(variables, batch_BxHxWxC))[: len(pixels)]
    except Exception:  # of Flax, JAX or Python, by what is wrong with the variables
        if said := misfit(model, variables, len(preprocessing.mean)):
            raise WeightsError(said) from None
        raise


def normalise(image_BxHxWxC: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """A network's input, float32, of pixels in 0 … 255."""
    return (image_BxHxWxC.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)


@functools.cache
def _compiled(model: Any, endpoint: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    @jax.jit
    def run(variables: Any, image_BxHxWxC: jax.Array) -> jax.Array:
        return model.endpoints(variables, normalise(image_BxHxWxC, mean, std), [endpoint])[endpoint]

    return run


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f"class {label}"
