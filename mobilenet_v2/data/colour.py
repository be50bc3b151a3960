"""Colour jitter on uint8 pixels, as TF-slim and as torchvision do it, each from given uniform numbers."""

import dataclasses
import itertools

import cv2
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

_STAGES = ("brightness", "contrast", "saturation", "hue")
_SLIM_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)
# With fast_mode, its default, TF-slim knows two stages, and only the first of four threads begins with brightness.
_SLIM_FAST_ORDERS = (("brightness", "saturation"), *3 * (("saturation", "brightness"),))
_ORDERS = {
    "slim": _SLIM_ORDERS,
    "slim_fast": _SLIM_FAST_ORDERS,
    "torchvision": tuple(itertools.permutations(_STAGES)),
}


@dataclasses.dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue; a stage of strength 0 is left out.

    Attributes:
      brightness: s: a factor in U(1 − s, 1 + s); with slim's orders a summand in U(−s, s), where white is 1.
      contrast, saturation: s: a factor in U(1 − s, 1 + s).
      hue: s: moved by U(−s, s) of the circle.
      order: "torchvision" permutes the stages and rounds after each, on Pillow's images; "slim" takes one of
        TF-slim's four orders, on floats that are clipped once, at the end; "slim_fast" its default, which has
        brightness and saturation alone.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    order: str = "torchvision"

    DRAWS = 5  # uniform numbers that `__call__` takes

    @classmethod
    def of(cls, augment: ConfigDict) -> "ColourJitter | None":
        """As the fields of `config.augment` say; None where all of them are 0."""
        jitter = cls(**{name: augment[name] for name in _STAGES}, order=augment.colour_order)
        return jitter if any(getattr(jitter, name) for name in _STAGES) else None

    def __call__(self, image_HxWxC: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Pixels uint8 [H, W, C]. Grey ones have neither saturation nor hue.

        Args:
          draws: five in [0, 1): of brightness, contrast, saturation, hue and the order.
        """
        *deviations, order = (2 * draws - 1).tolist()
        orders = _ORDERS[self.order]
        strengths = {name: getattr(self, name) * draw for name, draw in zip(_STAGES, deviations, strict=True)}
        colourful = image_HxWxC.shape[2] == 3
        stages = [
            (name, strengths[name])
            for name in orders[int((order + 1) / 2 * len(orders))]
            if getattr(self, name) and (colourful or name in ("brightness", "contrast"))
        ]
        return (_torchvision if self.order == "torchvision" else _slim)(image_HxWxC, stages)


def _torchvision(image_HxWxC: np.ndarray, stages: list[tuple[str, float]]) -> np.ndarray:
    """Pillow's ImageEnhance in OpenCV's speed: equal but for a level of saturation and of contrast's mean."""
    for name, strength in stages:
        if name == "hue":
            image_HxWxC = _pillow_hue(image_HxWxC, strength)
        elif name == "saturation":
            image_HxWxC = _blend_with_grey(image_HxWxC, 1 + strength)
        else:
            towards = 0 if name == "brightness" else int(cv2.mean(_grey(image_HxWxC))[0] + 0.5)
            shape = image_HxWxC.shape
            image_HxWxC = cv2.LUT(image_HxWxC, _blended_levels(towards, 1 + strength)).reshape(shape)
    return image_HxWxC


def _blended_levels(towards: int, factor: float) -> np.ndarray:
    """towards + factor · (level − towards) of the 256 levels, truncated as Pillow does, uint8 [256]."""
    levels = np.arange(256, dtype=np.float32)
    return np.clip(towards + np.float32(factor) * (levels - towards), 0, 255).astype(np.uint8)


def _grey(image_HxWxC: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image_HxWxC, cv2.COLOR_RGB2GRAY) if image_HxWxC.shape[2] == 3 else image_HxWxC


def _blend_with_grey(image_HxWx3: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(_grey(image_HxWx3), cv2.COLOR_GRAY2RGB)
    # Pillow truncates where OpenCV rounds; a little less than a half leaves whole numbers as they are.
    return cv2.addWeighted(image_HxWx3, factor, grey, 1 - factor, -0.498)


def _pillow_hue(image_HxWx3: np.ndarray, turn: float) -> np.ndarray:
    """Turned in Pillow's HSV of 8 bits a channel, as torchvision's adjust_hue, which truncates the turn."""
    hsv = np.array(Image.fromarray(image_HxWx3).convert("HSV"))
    hsv[..., 0] += np.uint8(int(turn * 255) % 256)
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _slim(image_HxWxC: np.ndarray, stages: list[tuple[str, float]]) -> np.ndarray:
    """TF-slim's distort_color, whose floats TF would go on with; here they are rounded to 8 bits at the end."""
    planes = [plane * np.float32(1 / 255) for plane in cv2.split(image_HxWxC)]
    for name, strength in stages:
        if name == "brightness":
            planes = [plane + np.float32(strength) for plane in planes]
        elif name == "contrast":
            means = [plane.mean(dtype=np.float64) for plane in planes]
            planes = [
                (plane - np.float32(mean)) * np.float32(1 + strength) + np.float32(mean)
                for plane, mean in zip(planes, means, strict=True)
            ]
        elif name == "saturation":
            planes = _saturated(planes, 1 + strength)
        else:
            planes = _turned(planes, strength)
    return cv2.merge([cv2.convertScaleAbs(np.maximum(plane, 0), alpha=255) for plane in planes]).reshape(
        image_HxWxC.shape
    )


def _saturated(planes: list[np.ndarray], factor: float) -> list[np.ndarray]:
    """HSV's saturation times a factor, at most 1, without a way through HSV: c ← v − (v − c) · min(factor, 1 / s)."""
    value = cv2.max(cv2.max(planes[0], planes[1]), planes[2])
    least = cv2.min(cv2.min(planes[0], planes[1]), planes[2])
    chroma = np.maximum(value - least, np.float32(1e-7))
    gain = np.minimum(np.float32(factor), np.maximum(value, 0) / chroma)
    return [value - (value - plane) * gain for plane in planes]


def _turned(planes: list[np.ndarray], turn: float) -> list[np.ndarray]:
    """HSV's hue moved by a share of the circle."""
    hue, saturation, value = cv2.split(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_RGB2HSV))
    hue = np.mod(hue + np.float32(360 * turn), np.float32(360))
    return list(cv2.split(cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)))
