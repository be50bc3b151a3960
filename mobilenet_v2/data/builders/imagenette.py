"""TFDS builder of Imagenette that needs no TensorFlow: ten easy classes of ImageNet, the JPEGs as fast.ai gives them.

`imagenette/full-size-v2`, `/320px-v2`, `/160px-v2`, and the same without `-v2` for the first split. Tested on small
archives of the same layout, served by the machine itself; the published ones were not at hand. TFDS checks the
download's SHA-256. Without a network, put the .tgz (`imagenette2-320.tgz`, say) into `downloads/manual` of the data
folder.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from mobilenet_v2.data.builders.archives import download, open_tar, read_member


@dataclasses.dataclass
class ImagenetteConfig(tfds.core.BuilderConfig):
    """One size of one split; `folder` is its archive's name, and the folder within."""

    name: str = ""
    description: str | None = None
    folder: str = ""


def _configs() -> list[ImagenetteConfig]:
    """TFDS's, in its order: the first is the default."""
    return [
        ImagenetteConfig(name=size + version, description=f"{size} variant.", folder=base + suffix)
        for base, version in (("imagenette2", "-v2"), ("imagenette", ""))
        for size, suffix in (("full-size", ""), ("320px", "-320"), ("160px", "-160"))
    ]


class Imagenette(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """9,469 training and 3,925 validation examples; 12,894 and 500 in the first split."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = _configs()
    URL = "https://s3.amazonaws.com/fast-ai-imageclas/{}.tgz"
    url_infos = property(
        lambda self: checksums.load_url_infos(tfds.core.tfds_path("datasets/imagenette/checksums.tsv"))
    )

    def _info(self) -> tfds.core.DatasetInfo:
        names = tfds.core.tfds_path("image_classification/imagenette_labels.txt")
        return tfds.core.DatasetInfo(
            builder=self,
            description="Imagenette: ten classes of ImageNet that are easily told apart.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names_file=names),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/fastai/imagenette",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = self.builder_config.folder
        archive = download(dl_manager, self.URL.format(folder))
        return {
            "train": self._generate_examples(archive, f"{folder}/train"),
            "validation": self._generate_examples(archive, f"{folder}/val"),
        }

    def _generate_examples(self, archive: str, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        found = False
        with open_tar(archive, "r|*") as tar:  # A stream: seeking in a compressed file would unpack it again.
            for member in tar:
                path = pathlib.PurePosixPath(member.name)
                if member.isfile() and str(path.parent.parent) == folder and path.suffix == ".JPEG":
                    if path.name.startswith("."):
                        continue
                    found = True
                    yield path.name, {"image": read_member(tar, member), "label": path.parent.name}
        if not found:
            raise OSError(f"{archive} holds no {folder}/CLASS/NAME.JPEG")
