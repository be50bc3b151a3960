"""TFDS builder of scikit-learn's digits: 1,797 scanned handwritten digits, 8×8 pixels, no download."""

import collections
import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds


class Digits(tfds.core.GeneratorBasedBuilder):
    """Digits 0–9 as grey PNG, stratified into 1,257 training, 270 validation and 270 test examples."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Optical recognition of handwritten digits (UCI), as embedded in scikit-learn.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Scalar(np.int32),
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        # Imported here, because a prepared data set is read without it and it takes a second.
        from sklearn.datasets import load_digits

        digits: Any = load_digits()
        return {
            split: self._generate_examples(digits.images, digits.target, rows)
            for split, rows in split_rows(digits.target).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in map(int, rows):
            yield row, {"id": row, "image": _png(images[row]), "label": int(labels[row])}


def split_rows(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of each split: 70 % train, the rest halved, each class in proportion, always the same."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    train, rest = train_test_split(rows, test_size=0.30, stratify=labels, random_state=0)
    validation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=0)
    return collections.OrderedDict(train=train, validation=validation, test=test)


def _png(image_HxW: np.ndarray) -> io.BytesIO:
    """The scan's 17 grey levels spread over 0 … 255. TFDS would need TensorFlow to encode an array itself."""
    pixels = np.round(image_HxW * (255 / 16)).astype(np.uint8)
    return io.BytesIO(cv2.imencode(".png", pixels)[1].tobytes())
