import pathlib
from typing import Any

import pytest

from mobilenet_v2.data.builders.imagenette import Imagenette
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import pack, picture

SYNSETS = ("n01440764", "n02102040", "n03888257")


def place(data_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch, folder: str, splits: tuple[str, ...]) -> list[str]:
    """A small archive where one puts it by hand, and its checksum for the published one's; returns its files."""
    from tensorflow_datasets.core.download import checksums

    names = [f"{split}/{synset}/{synset}_{split}{i}.JPEG" for split in splits for synset in SYNSETS for i in range(2)]
    manual = data_dir / "downloads" / "manual"
    manual.mkdir(parents=True)
    files = {f"{folder}/{name}": picture(f"{name}.jpg") for name in names}
    files[f"{folder}/noisy_imagenette.csv"] = b"path"
    files[f"{folder}/train/n01440764/._n01440764_1.JPEG"] = b"litter"
    path = pack(manual / f"{folder}.tgz", files, "w:gz")
    infos: dict[str, Any] = {Imagenette.URL.format(folder): checksums.compute_url_info(path)}
    monkeypatch.setattr(Imagenette, "url_infos", infos)
    return names


@pytest.mark.parametrize(
    "name, folder",
    [
        ("imagenette/320px-v2", "imagenette2-320"),
        ("imagenette", "imagenette2"),
        ("imagenette/160px:1.0.0", "imagenette-160"),
    ],
)
def test_a_record_holds_the_bytes_and_the_class_of_a_file(
    name: str, folder: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = place(tmp_path, monkeypatch, folder, ("train", "val"))
    dataset = open_dataset(name, str(tmp_path))
    assert dataset.num_classes == 10
    for split, published in (("train", "train"), ("validation", "val")):
        source = dataset.split(split)
        found = {row["image"]: dataset.class_names[row["label"]] for row in (source[i] for i in range(len(source)))}
        wanted = [name for name in names if name.startswith(published)]
        assert found == {picture(f"{name}.jpg"): name.split("/")[1] for name in wanted}


def test_an_archive_without_a_split_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, monkeypatch, "imagenette2", ("train",))
    with pytest.raises(DataError, match=r"'imagenette' can't be prepared .* holds no imagenette2/val/CLASS/NAME\.JPEG"):
        open_dataset("imagenette", str(tmp_path))
