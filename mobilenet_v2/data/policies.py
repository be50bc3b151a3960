"""RandAugment and TrivialAugment on Pillow's images, pixel by pixel as torchvision's, from given uniform numbers."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageEnhance, ImageOps

BINS = 31  # of magnitudes
MAX_LAYERS = 8
_DRAWS = 4  # of a layer
_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

Operation = tuple[str, tuple[float, ...], bool]  # name, its magnitudes, whether half of them are made negative


@dataclasses.dataclass(frozen=True)
class Policy:
    """Operations drawn for each image.

    Attributes:
      operations: what there is to draw from; all are equally likely.
      layers: operations an image, one after the other.
      magnitude: the bin of all magnitudes, 0 … 30; None draws one uniformly, an operation.
      magnitude_std: of normal noise that is added to `magnitude`, in bins, rounded and kept within them.
      probability: that a layer does anything.
      interpolation: "nearest", "bilinear" or "bicubic", where pixels move.
    """

    operations: tuple[Operation, ...]
    layers: int = 1
    magnitude: int | None = None
    magnitude_std: float = 0.0
    probability: float = 1.0
    interpolation: str = "nearest"

    DRAWS = _DRAWS * MAX_LAYERS  # uniform numbers that `__call__` takes

    @classmethod
    def of(cls, augment: ConfigDict, size: int) -> "Policy | None":
        """As the fields of `config.augment` say, for images of `size` pixels; None where there is none.

        "rand_augment" (Cubuk et al. 2020) and "trivial_augment_wide" (Müller & Hutter 2021), both torchvision's.
        """
        if augment.policy == "none":
            return None
        if augment.policy == "trivial_augment_wide":
            return cls(trivial_augment_wide(), interpolation=augment.policy_interpolation)
        return cls(
            rand_augment(size),
            augment.policy_layers,
            augment.policy_magnitude,
            augment.policy_magnitude_std,
            augment.policy_probability,
            augment.policy_interpolation,
        )

    def __call__(self, image_HxWxC: np.ndarray, draws: np.ndarray, fill: Sequence[int]) -> np.ndarray:
        """Pixels uint8 [H, W, C].

        Args:
          draws: in [0, 1); four a layer: operation, magnitude, sign, whether to apply it. The rest go unused.
          fill: a number a channel, beyond the borders.
        """
        grey = image_HxWxC.shape[2] == 1
        image = Image.fromarray(image_HxWxC[..., 0] if grey else image_HxWxC)
        colour = int(fill[0]) if grey else tuple(map(int, fill))
        for which, bin_, sign, apply in draws[: _DRAWS * self.layers].reshape(-1, _DRAWS).tolist():
            name, magnitudes, signed = self.operations[int(which * len(self.operations))]
            magnitude = magnitudes[self._bin(bin_)]
            if apply < self.probability:
                negative = signed and sign >= 0.5
                image = OPERATIONS[name](image, -magnitude if negative else magnitude, self.interpolation, colour)
        return np.asarray(image).reshape(image_HxWxC.shape)

    def _bin(self, draw: float) -> int:
        if self.magnitude is None:
            return int(draw * BINS)
        if self.magnitude_std == 0:
            return self.magnitude
        noise = statistics.NormalDist().inv_cdf(min(max(draw, 1e-9), 1 - 1e-9)) * self.magnitude_std
        return min(max(round(self.magnitude + noise), 0), BINS - 1)


def rand_augment(size: int) -> tuple[Operation, ...]:
    """The operations of torchvision's RandAugment for images of `size` pixels."""
    return _operations(0.3, 150 / 331 * size, 30.0, 0.9, 4)


def trivial_augment_wide() -> tuple[Operation, ...]:
    """The operations of torchvision's TrivialAugmentWide, which shift by up to 32 pixels of whatever size."""
    return _operations(0.99, 32.0, 135.0, 0.99, 6)


def _operations(shear: float, shift: float, degrees: float, enhancement: float, bits: int) -> tuple[Operation, ...]:
    posterized = tuple(8.0 - round(n / ((BINS - 1) / bits)) for n in range(BINS))
    nothing = (0.0,) * BINS
    return (
        ("Identity", nothing, False),
        ("ShearX", _linspace(0.0, shear), True),
        ("ShearY", _linspace(0.0, shear), True),
        ("TranslateX", _linspace(0.0, shift), True),
        ("TranslateY", _linspace(0.0, shift), True),
        ("Rotate", _linspace(0.0, degrees), True),
        ("Brightness", _linspace(0.0, enhancement), True),
        ("Color", _linspace(0.0, enhancement), True),
        ("Contrast", _linspace(0.0, enhancement), True),
        ("Sharpness", _linspace(0.0, enhancement), True),
        ("Posterize", posterized, False),
        ("Solarize", _linspace(255.0, 0.0), False),
        ("AutoContrast", nothing, False),
        ("Equalize", nothing, False),
    )


def _linspace(first: float, last: float) -> tuple[float, ...]:
    """PyTorch's float32, counted from the nearer end with one rounding: it decides which whole pixel a shift is."""
    low, high = float(np.float32(first)), float(np.float32(last))
    step = float(np.float32(high - low) / np.float32(BINS - 1))
    half = BINS // 2
    exact = (low + step * n if n < half else high - step * (BINS - 1 - n) for n in range(BINS))
    return tuple(float(np.float32(x)) for x in exact)


def _affine(image: Any, matrix: tuple[float, ...], interpolation: str, fill: Any) -> Any:
    filter_ = _INTERPOLATIONS[interpolation]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, filter_, fillcolor=fill)


def _sheared_x(image: Any, magnitude: float, interpolation: str, fill: Any) -> Any:
    return _affine(image, (1, _through_degrees(magnitude), 0, 0, 1, 0), interpolation, fill)


def _sheared_y(image: Any, magnitude: float, interpolation: str, fill: Any) -> Any:
    return _affine(image, (1, 0, 0, _through_degrees(magnitude), 1, 0), interpolation, fill)


def _through_degrees(tangent: float) -> float:
    # torchvision's affine takes degrees, which costs the last bit.
    return math.tan(math.radians(math.degrees(math.atan(tangent))))


def _shifted_x(image: Any, magnitude: float, interpolation: str, fill: Any) -> Any:
    return _affine(image, (1, 0, -int(magnitude), 0, 1, 0), interpolation, fill)


def _shifted_y(image: Any, magnitude: float, interpolation: str, fill: Any) -> Any:
    return _affine(image, (1, 0, 0, 0, 1, -int(magnitude)), interpolation, fill)


def _enhanced(enhancer: Any) -> Callable[[Any, float, str, Any], Any]:
    return lambda image, magnitude, interpolation, fill: enhancer(image).enhance(1 + magnitude)


def _solarized(image: Any, threshold: Any, interpolation: str, fill: Any) -> Any:
    del interpolation, fill
    return ImageOps.solarize(image, threshold)  # which is a float, as torchvision's


# (image, magnitude, interpolation, fill) → image.
OPERATIONS: dict[str, Callable[[Any, float, str, Any], Any]] = {
    "Identity": lambda image, *_: image,
    "ShearX": _sheared_x,
    "ShearY": _sheared_y,
    "TranslateX": _shifted_x,
    "TranslateY": _shifted_y,
    "Rotate": lambda image, magnitude, interpolation, fill: image.rotate(
        magnitude, _INTERPOLATIONS[interpolation], fillcolor=fill
    ),
    "Brightness": _enhanced(ImageEnhance.Brightness),
    "Color": _enhanced(ImageEnhance.Color),
    "Contrast": _enhanced(ImageEnhance.Contrast),
    "Sharpness": _enhanced(ImageEnhance.Sharpness),
    "Posterize": lambda image, magnitude, *_: ImageOps.posterize(image, int(magnitude)),
    "Solarize": _solarized,
    "AutoContrast": lambda image, *_: ImageOps.autocontrast(image),
    "Equalize": lambda image, *_: ImageOps.equalize(image),
}
