"""What the page asks for, as plain values: the network once, then an answer for each picture."""

import base64
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from mobilenet_v2.data.remarks import remarks
from mobilenet_v2.errors import DataError
from mobilenet_v2.models import cost
from mobilenet_v2.serving.activations import BlockMaps, endpoint_of, probabilities_and_maps
from mobilenet_v2.serving.photographs import decoded, prepare
from mobilenet_v2.serving.prediction import likeliest, preprocessing_of
from mobilenet_v2.weights.preprocessing import describe

_TOP = 5


class Shown(NamedTuple):
    """A network that the page shows: as `load_pretrained` returns it, what it is called, and what its blocks cost."""

    model: Any
    variables: Any
    name: str
    cost: cost.Cost

    @classmethod
    def of(cls, model: Any, variables: Any, name: str) -> "Shown":
        """Counts, and compiles what answers for pictures.

        Raises:
          WeightsError: if nothing says how images are made ready.
        """
        preprocessing = preprocessing_of(model)
        channels = len(preprocessing.mean)
        shown = cls(model, variables, name, cost.count(model, preprocessing.crop_size, channels))
        probabilities_and_maps(
            model, variables, np.zeros((*2 * [preprocessing.crop_size], channels), np.uint8), shown.maps
        )
        return shown

    @property
    def maps(self) -> tuple[str, ...]:
        """The blocks whose outputs are maps."""
        return tuple(block.name for block in self.cost.blocks if endpoint_of(self.model, block.name))


def network(shown: Shown) -> dict[str, Any]:
    """What is so for every picture."""
    return {
        "name": shown.name,
        "classes": shown.model.num_classes,
        "preprocessing": describe(preprocessing_of(shown.model)),
        "parameters": shown.cost.parameters,
        "multiply_adds": shown.cost.multiply_adds,
        "blocks": [
            {
                "name": block.name,
                "output": "×".join(map(str, block.output_shape)),
                "parameters": block.parameters,
                "multiply_adds": block.multiply_adds,
                "peak_bytes": block.peak_bytes,
            }
            for block in shown.cost.blocks
        ],
    }


def answer(shown: Shown, encoded: bytes) -> dict[str, Any]:
    """Classes and maps of a picture, which are PNGs as data URIs.

    Raises:
      DataError: if it can't be read, or the network makes no finite numbers of it.
    """
    started = time.monotonic()
    preprocessing = preprocessing_of(shown.model)
    try:
        photograph = decoded(encoded, preprocessing)
    except ValueError as error:
        raise DataError(str(error)) from error
    pixels = prepare(photograph, preprocessing)
    probabilities, maps = probabilities_and_maps(shown.model, shown.variables, pixels, shown.maps)
    if not np.isfinite(probabilities).all():
        raise DataError("the network's outputs for this picture are not finite numbers: its weights may be damaged")
    return {
        "classes": [one._asdict() for one in likeliest(shown.model, probabilities, _TOP)],
        "remarks": remarks(encoded),
        "seen": _png(pixels[..., ::-1]),
        "maps": _drawn(maps),
        "seconds": time.monotonic() - started,
    }


def _drawn(maps: Mapping[str, BlockMaps]) -> dict[str, Any]:
    return {
        name: {
            "greatest": float(np.nan_to_num(block.mean).max()),
            "mean": _png(_bright(block.mean)),
            "channels": [
                {"index": index, "image": _png(_signed(channel))}
                for index, channel in zip(block.channels, block.strongest, strict=True)
            ],
        }
        for name, block in maps.items()
    }


def _bright(magnitude_HxW: np.ndarray) -> np.ndarray:
    """Blue, green, red: from dark, 0, to bright, the map's own largest."""
    return cv2.applyColorMap((255 * _scaled(magnitude_HxW)).astype(np.uint8), cv2.COLORMAP_VIRIDIS)


def _signed(x_HxW: np.ndarray) -> np.ndarray:
    """Blue, green, red: white is 0, red above it, blue below, full at the map's own largest magnitude."""
    scaled = _scaled(x_HxW)
    colours = (1 - np.maximum(scaled, 0), 1 - np.abs(scaled), 1 + np.minimum(scaled, 0))
    return np.rint(255 * np.stack(colours, axis=-1)).astype(np.uint8)


def _scaled(x_HxW: np.ndarray) -> np.ndarray:
    finite = np.nan_to_num(x_HxW)
    return finite / max(float(np.abs(finite).max()), np.finfo(np.float32).tiny)


def _png(pixels: np.ndarray) -> str:
    """Grey or blue, green and red as a data URI."""
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
