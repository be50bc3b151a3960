"""How far a file's logits are from the network's, on the same pictures."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mobilenet_v2.export.inference import Run
from mobilenet_v2.export.pictures import Pictures, normalised
from mobilenet_v2.models.variants import Preprocessing

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A file beside the network that it was made of.

    Attributes:
      pictures: how many, and whose.
      max_difference: the largest of |file − network| over all logits of all pictures.
      largest_logit: the largest |logit| of the network, for scale.
      agreement: share of the pictures whose likeliest class is the same.
      accuracy, source_accuracy: of the file and of the network; None where no labels are known.
    """

    pictures: str
    max_difference: float
    largest_logit: float
    agreement: float
    accuracy: float | None
    source_accuracy: float | None


class _Logits(NamedTuple):
    source: np.ndarray
    file: np.ndarray


def compare(source: Run, file: Run, pictures: Pictures, preprocessing: Preprocessing) -> Comparison:
    """Runs both on all pictures, 32 at a time."""
    rows = [_Logits(source(batch), file(batch)) for batch in _batches(pictures.pixels, preprocessing)]
    count = len(pictures.pixels)
    found = _Logits(*(np.concatenate(column)[:count] for column in zip(*rows, strict=True)))
    theirs, ours = (logits.argmax(axis=1) for logits in found)
    labels = pictures.labels
    return Comparison(
        pictures=pictures.what,
        max_difference=float(np.abs(found.file - found.source).max()),
        largest_logit=float(np.abs(found.source).max()),
        agreement=float((ours == theirs).mean()),
        accuracy=None if labels is None else float((ours == labels).mean()),
        source_accuracy=None if labels is None else float((theirs == labels).mean()),
    )


def _batches(pixels: np.ndarray, preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Normalised images; the last batch is filled up with what it begins with, so that one shape is compiled."""
    size = min(_BATCH, len(pixels))
    for start in range(0, len(pixels), size):
        yield normalised(np.resize(pixels[start : start + size], (size, *pixels.shape[1:])), preprocessing)
