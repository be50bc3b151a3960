import io
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from configs import image_folder
from mobilenet_v2.data.builders.image_folder import UNREADABLE, folder_config, left_out
from mobilenet_v2.data.sources import Dataset, open_dataset
from mobilenet_v2.data.transforms import Preprocess
from mobilenet_v2.errors import DataError
from tests.data.pictures import TWO_CLASSES, fill, picture

EMOJI = pathlib.Path(__file__).parents[2] / "../shared/data/emoji.tar"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return fill(tmp_path / "pictures", [*TWO_CLASSES, "train/dog/9.jpg", "train/cat/8.webp"])


def opened(folder: pathlib.Path, skip_unreadable: bool = False) -> Dataset:
    return open_dataset("image_folder", str(folder.parent / "data"), str(folder), skip_unreadable)


def records(dataset: Dataset, split: str) -> dict[str, tuple[bytes, int]]:
    source = dataset.split(split)
    rows = [source[index] for index in range(len(source))]
    return {row["file_name"].decode(): (row["image"], int(row["label"])) for row in rows}


def damage(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(picture(name)[:50])


def test_a_record_holds_the_bytes_of_the_file_its_class_and_its_name(folder: pathlib.Path) -> None:
    dataset = opened(folder)
    assert dataset.class_names == ("cat", "dog")
    for split, count in (("train", 8), ("validation", 6)):
        found = records(dataset, split)
        assert len(found) == count
        for name, (encoded, label) in found.items():
            assert encoded == (folder / name).read_bytes()
            assert name.split("/")[:2] == [split, dataset.class_names[label]]


def test_an_archive_holds_the_same_records_as_its_folder(folder: pathlib.Path) -> None:
    expected = records(opened(folder), "train")
    for kind in ("tar", "zip"):
        archive = pathlib.Path(shutil.make_archive(str(folder.parent / "packed"), kind, folder))
        assert records(opened(archive), "train") == expected


def test_a_folder_that_has_not_changed_is_prepared_once(folder: pathlib.Path) -> None:
    path = pathlib.Path(opened(folder).builder.data_dir)
    assert path.parent.name.startswith("pictures-")
    before = path.stat().st_mtime_ns
    assert pathlib.Path(opened(folder).builder.data_dir).stat().st_mtime_ns == before
    assert [found.name for found in path.parent.parent.iterdir()] == [path.parent.name]


def test_a_folder_that_has_changed_is_another_data_set(folder: pathlib.Path) -> None:
    names = {folder_config(str(folder)).name}
    (folder / "train/cat/0.png").write_bytes(picture("other.png"))
    os.utime(folder / "train/cat/0.png", (1, 1))
    names.add(folder_config(str(folder)).name)
    fill(folder, ["train/cat/new.png"])
    names.add(folder_config(str(folder)).name)
    (folder / "train/cat/new.png").rename(folder / "train/dog/new.png")
    names.add(folder_config(str(folder)).name)
    assert len(names) == 4
    (folder / "notes.txt").write_text("no picture")
    assert folder_config(str(folder)).name in names
    assert records(opened(folder), "train")["train/dog/new.png"][1] == 1


@pytest.mark.parametrize(
    "names, says",
    [
        (["train/dog/1.png"], r"1 picture that can't be read: 'train/dog/1\.png' \(can't decode an image of 50 bytes"),
        ([name for name in TWO_CLASSES if "/dog/" in name], r"6 pictures that can't be read: .*'train/dog/2.*; …\."),
        ([name for name in TWO_CLASSES if "validation" in name], "split 'validation': .* 6 pictures"),
    ],
)
def test_pictures_that_cannot_be_read_are_named_and_nothing_is_prepared(
    names: list[str], says: str, folder: pathlib.Path
) -> None:
    damage(folder, *names)
    with pytest.raises(DataError, match=f"{says}.*skip_unreadable=True"):
        opened(folder)
    assert not list((folder.parent / "data").glob("image_folder/**/*"))


def test_unreadable_pictures_are_left_out_where_that_is_wanted_and_named_beside_the_data_set(
    folder: pathlib.Path,
) -> None:
    damage(folder, "train/dog/1.png")
    (folder / "train/cat/gone.png").symlink_to("nowhere")
    (folder / "train/cat/phone.heic").write_bytes(b"ftypheic")
    dataset = opened(folder, skip_unreadable=True)
    assert len(records(dataset, "train")) == 7
    lines = (pathlib.Path(dataset.builder.data_dir) / UNREADABLE).read_text().splitlines()
    assert lines == left_out(dataset.builder)
    assert [line.split("'")[1] for line in sorted(lines)] == [
        "train/cat/gone.png",
        "train/cat/phone.heic",
        "train/dog/1.png",
    ]
    assert "No such file" in "".join(lines)


def test_what_was_prepared_without_unreadable_pictures_is_refused_to_who_wants_all(folder: pathlib.Path) -> None:
    damage(folder, "train/dog/1.png")
    opened(folder, skip_unreadable=True)
    with pytest.raises(DataError, match=r"1 picture that can't be read: 'train/dog/1\.png'"):
        opened(folder)


def test_names_beyond_ascii_and_beyond_utf8_are_kept(folder: pathlib.Path) -> None:
    fill(folder, ["train/cat/Кот ß.png"])
    with open(os.fsencode(folder) + b"/train/cat/\xff.png", "wb") as file:
        file.write(picture("x.png"))
    found = records(opened(folder), "train")
    assert {"train/cat/Кот ß.png", "train/cat/\ufffd.png"} < found.keys()


def test_without_a_folder_there_is_no_data_set(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="'image_folder' needs the folder"):
        open_dataset("image_folder", str(tmp_path))


def test_an_earlier_version_of_a_folder_cannot_be_asked_for(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="'image_folder/pictures-0123' has no configs"):
        open_dataset("image_folder/pictures-0123", str(tmp_path), str(folder))


def test_a_photograph_is_upright_in_the_config_for_peoples_own_pictures(tmp_path: pathlib.Path) -> None:
    config = image_folder.get_config()
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255
    exif, upright, turned = Image.Exif(), io.BytesIO(), io.BytesIO()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(pixels).save(upright, "PNG")
    Image.fromarray(np.rot90(pixels)).save(turned, "PNG", exif=exif)
    shown = [
        Preprocess.of(config.data).map({"image": stream.getvalue(), "label": 0})["image"]
        for stream in (upright, turned)
    ]
    np.testing.assert_array_equal(shown[0], pixels)
    np.testing.assert_array_equal(shown[1], pixels)


@pytest.mark.skipif(not EMOJI.is_file(), reason="the emoji are not laid out beside this checkout")
def test_the_emoji_are_3000_and_812_of_9_categories(tmp_path: pathlib.Path) -> None:
    dataset = open_dataset("image_folder", str(tmp_path), str(EMOJI))
    assert dataset.num_classes == 9
    splits = [dataset.split(split) for split in ("train", "validation")]
    assert [len(split) for split in splits] == [3000, 812]
    # So that the config's turning of photographs leaves them as they are.
    assert not any(b"eXIf" in split[index]["image"] for split in splits for index in range(len(split)))
