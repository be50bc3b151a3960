"""Pictures of ImageNet's size, cut from real photographs, as JPEG files and as a data set of TFDS."""

import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from mobilenet_v2.data.crops import random_resized

HEIGHT, WIDTH = 375, 500
_MANY = 50  # photographs
_OF_CROPS = (0.08, 1.0), (3 / 4, 4 / 3)  # area and aspect, torchvision's


class Photographs(tfds.core.GeneratorBasedBuilder):
    """The JPEG files of a folder, in order of their names."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, folder: pathlib.Path, **arguments: Any):
        self._folder = folder
        super().__init__(**arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "file_name": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=1000),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, path in enumerate(sorted(self._folder.glob("*.jpg"))):
            yield index, {"file_name": path.name, "image": io.BytesIO(path.read_bytes()), "label": index % 1000}


def make(folder: pathlib.Path, photographs: pathlib.Path | None, count: int) -> Any:
    """Writes `count` JPEGs to `folder`/images, a random-resized crop of each to `folder`/crops.json, and the data set.

    Args:
      photographs: a folder, searched through, of large JPEG files; scikit-learn's two where None.

    Returns:
      The prepared TFDS builder.
    """
    originals = _originals(photographs)
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir(parents=True)
    crops = {}
    for index in range(count):
        picture = _window(originals[index % len(originals)], rng)
        name = f"{index:05d}.jpg"
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()
        (images / name).write_bytes(encoded)
        crops[name] = random_resized(HEIGHT, WIDTH, *_OF_CROPS, rng.random((10, 4)))
    (folder / "crops.json").write_text(json.dumps(crops))
    builder = Photographs(folder=images, data_dir=str(folder / "data"), file_format="array_record")
    builder.download_and_prepare()
    return builder


def _originals(photographs: pathlib.Path | None) -> list[np.ndarray]:
    if photographs is None:
        from sklearn.datasets import load_sample_images

        return [np.ascontiguousarray(image[..., ::-1]) for image in load_sample_images().images]
    paths = sorted(path for path in photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    images = [cv2.imread(str(path), cv2.IMREAD_COLOR_BGR) for path in paths]
    large = [image for image in images if image is not None and min(image.shape[:2]) >= HEIGHT][:_MANY]
    if not large:
        raise SystemExit(f"--photographs={photographs} holds no JPEG of at least {HEIGHT} pixels a side")
    return large


def _window(photograph_HxWx3: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of it of ImageNet's size, at most its own scale, mirrored or not, a little lighter or darker."""
    height, width = photograph_HxWx3.shape[:2]
    largest = min(height / HEIGHT, width / WIDTH)
    scale = rng.uniform(min(1.0, largest), largest)
    h, w = int(HEIGHT * scale), int(WIDTH * scale)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    part = photograph_HxWx3[top : top + h, left : left + w]
    picture = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return cv2.convertScaleAbs(picture, alpha=rng.uniform(0.9, 1.1), beta=rng.uniform(-10, 10))
