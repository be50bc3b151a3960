"""TFDS builder of CIFAR-10 that needs no TensorFlow: 60,000 pictures of 32×32 pixels in ten classes.

Tested on small archives of the same layout, served by the machine itself; the published one was not at hand. TFDS
checks the download's SHA-256. Without a network, put `cifar-10-binary.tar.gz` into `downloads/manual` of the data
folder.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from mobilenet_v2.data.builders.archives import download, open_tar, read_member

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE  # bytes: label; then red, green and blue planes


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """50,000 training and 10,000 test examples, as PNG."""

    VERSION = tfds.core.Version("3.0.2")
    URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    url_infos = property(lambda self: checksums.load_url_infos(tfds.core.tfds_path("url_checksums/cifar10.txt")))

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="CIFAR-10: small pictures in ten classes.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(_SIDE, _SIDE, 3), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        archive = download(dl_manager, self.URL)
        train = [f"data_batch_{number}.bin" for number in range(1, 6)]
        return {
            "train": self._generate_examples(archive, "train", train),
            "test": self._generate_examples(archive, "test", ["test_batch.bin"]),
        }

    def _generate_examples(
        self, archive: str, split: str, files: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        index = 0
        for records_NxR in _read(archive, files):
            for record in records_NxR:
                example = {"id": f"{split}_{index:05d}", "image": _png(record[1:]), "label": int(record[0])}
                yield index, example
                index += 1


def _read(archive: str, names: Sequence[str]) -> Iterator[np.ndarray]:
    """Records uint8 [N, 3073] of each of the files; raises OSError for a file that is missing or cut short."""
    with open_tar(archive, "r:*") as tar:
        for name in names:
            encoded = read_member(tar, f"cifar-10-batches-bin/{name}")
            if not encoded or len(encoded) % _RECORD:
                raise OSError(f"{archive} holds {len(encoded)} bytes of {name}, must be a multiple of {_RECORD}")
            yield np.frombuffer(encoded, np.uint8).reshape(-1, _RECORD)


def _png(planes: np.ndarray) -> io.BytesIO:
    """TFDS would need TensorFlow to encode an array itself."""
    rgb = planes.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
    return io.BytesIO(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
