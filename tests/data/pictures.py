"""Small folders and archives of pictures, each picture other pixels."""

import io
import pathlib
import tarfile
import zlib
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

TWO_CLASSES = [
    f"{split}/{name}/{i}.png" for split in ("train", "validation") for name in ("cat", "dog") for i in range(3)
]


def picture(name: str, side: int = 8) -> bytes:
    """An encoded picture, as the ending of `name` says, of pixels that its name decides."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(pathlib.PurePosixPath(name).suffix, pixels)[1].tobytes()


def two_classes(builder: Any) -> tfds.core.DatasetInfo:
    """What a TFDS builder says of pictures in two classes."""
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
    return tfds.core.DatasetInfo(builder=builder, features=tfds.features.FeaturesDict(features))


def fill(root: pathlib.Path, names: Iterable[str]) -> pathlib.Path:
    """Writes a picture a name below `root`."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(name))
    return root


def pack(path: pathlib.Path, files: dict[str, bytes], mode: str = "w") -> pathlib.Path:
    """Writes a tar of these files."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
