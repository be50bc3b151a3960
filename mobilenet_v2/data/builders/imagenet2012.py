"""TFDS builder of ImageNet (ILSVRC 2012) that needs no TensorFlow, from the two archives that image-net.org gives.

`ILSVRC2012_img_train.tar` and `ILSVRC2012_img_val.tar` lie in `config.data.folder`, or in `downloads/manual` of the
data folder. They are read as they are, never unpacked. Every picture keeps its bytes, where TFDS encodes the 22 of four
colours and the one PNG anew: our decoder reads those too. Classes are the synsets, sorted, which is the order of every
published network. Tested on small archives of the same layout; the published ones were not at hand.
"""

import os
import pathlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

from mobilenet_v2.data.builders.archives import open_tar, read_member

_TRAIN, _VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


class Imagenet2012(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """1,281,167 training and 50,000 validation examples of 1,000 classes, JPEG."""

    VERSION = tfds.core.Version("5.1.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"{_TRAIN} and {_VALIDATION} come from https://image-net.org, to those who register."

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="ImageNet of the Large Scale Visual Recognition Challenge 2012.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names_file=_table("labels.txt")),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://image-net.org/",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        # The property `manual_dir` of TFDS says in many lines that there is none.
        folder = pathlib.Path(str(dl_manager._manual_dir))
        for name in (_TRAIN, _VALIDATION):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder} holds no {name}. {self.MANUAL_DOWNLOAD_INSTRUCTIONS} Put them there, or name their "
                    "folder in config.data.folder"
                )
        return {
            "train": self._generate_examples(_training(folder / _TRAIN, self.info.features["label"].names)),
            "validation": self._generate_examples(_validation(folder / _VALIDATION)),
        }

    def _generate_examples(self, pictures: Iterator[tuple[str, bytes, str]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for file_name, encoded, synset in pictures:
            yield file_name, {"image": encoded, "label": synset, "file_name": file_name}


def _training(path: pathlib.Path, synsets: Sequence[str]) -> Iterator[tuple[str, bytes, str]]:
    """(file name, bytes, synset) from an archive of archives, one a class."""
    known = set(synsets)
    with open_tar(path, "r:") as outer:
        for synset_tar in outer:
            synset = synset_tar.name.removesuffix(".tar")
            if synset not in known:
                raise OSError(f"{path} holds {synset_tar.name!r}, must be archives of the 1,000 synsets")
            with open_tar(path / synset_tar.name, "r:", outer.extractfile(synset_tar)) as inner:
                for member in inner:
                    yield member.name, read_member(inner, member), synset


def _validation(path: pathlib.Path) -> Iterator[tuple[str, bytes, str]]:
    """Likewise, the classes by the number in the name; TFDS brings the list."""
    labels = _table("validation_labels.txt").read_text().split()
    with open_tar(path, "r:") as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            number = _VALIDATION_NAME.fullmatch(os.path.basename(member.name))
            if number is None or not 1 <= int(number[1]) <= len(labels):
                raise OSError(f"{path} holds {member.name!r}, must be ILSVRC2012_val_00000001.JPEG … 00050000.JPEG")
            yield number[0], read_member(tar, member), labels[int(number[1]) - 1]


def _table(name: str) -> Any:
    """Path of a list that TFDS's own builder reads."""
    return tfds.core.tfds_path(f"datasets/imagenet2012/{name}")
