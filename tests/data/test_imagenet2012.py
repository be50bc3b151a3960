import pathlib

import pytest
from PIL import Image

from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import pack, picture

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
SYNSETS = ("n15075141", "n01440764", "n02105855")
# Of the first pictures of validation, as the challenge gives them.
FIRST_LABELS = ("n01751748", "n09193705", "n02105855")


def cmyk(folder: pathlib.Path) -> bytes:
    Image.new("CMYK", (8, 8), (10, 80, 160, 20)).save(folder / "x.jpg")
    return (folder / "x.jpg").read_bytes()


def place(folder: pathlib.Path) -> dict[str, bytes]:
    """Small archives of the published layout; returns the training pictures by name."""
    folder.mkdir(parents=True)
    pictures = {f"{synset}_{i}.JPEG": picture(f"{synset}{i}.jpg") for synset in SYNSETS for i in range(2)}
    pictures["n02105855_2933.JPEG"] = picture("a.png")  # one picture of ImageNet is a PNG
    pictures["n15075141_7.JPEG"] = cmyk(folder)  # and 22 have four colours
    inner = {}
    for synset in SYNSETS:
        files = {name: content for name, content in pictures.items() if name.startswith(synset)}
        inner[f"{synset}.tar"] = pack(folder / "inner.tar", files).read_bytes()
    pack(folder / TRAIN, inner)
    names = [f"ILSVRC2012_val_0000000{number}.JPEG" for number in (3, 1, 2)]  # not in order
    pack(folder / VALIDATION, {name: picture(f"{name}.jpg") for name in names})
    return pictures


@pytest.mark.parametrize("where", ["downloads/manual", "elsewhere"])
def test_pictures_keep_their_bytes_and_get_their_synset(where: str, tmp_path: pathlib.Path) -> None:
    pictures = place(tmp_path / where)
    dataset = open_dataset("imagenet2012", str(tmp_path), None if "manual" in where else str(tmp_path / where))
    assert dataset.num_classes == 1000
    assert list(dataset.class_names) == sorted(dataset.class_names)
    source = dataset.split("train")
    rows = [source[index] for index in range(len(source))]
    assert {row["file_name"].decode(): row["image"] for row in rows} == pictures
    assert all(row["file_name"].decode().startswith(dataset.class_names[row["label"]]) for row in rows)
    assert all(decode(row["image"]).shape == (8, 8, 3) for row in rows)


def test_validation_pictures_are_labelled_by_their_number(tmp_path: pathlib.Path) -> None:
    place(tmp_path / "mine")
    dataset = open_dataset("imagenet2012", str(tmp_path), str(tmp_path / "mine"))
    source = dataset.split("validation")
    rows = {row["file_name"].decode(): row for row in (source[index] for index in range(len(source)))}
    for number, synset in enumerate(FIRST_LABELS, 1):
        row = rows[f"ILSVRC2012_val_0000000{number}.JPEG"]
        assert dataset.class_names[row["label"]] == synset
        assert row["image"] == picture(f"ILSVRC2012_val_0000000{number}.JPEG.jpg")


@pytest.mark.parametrize("missing", [TRAIN, VALIDATION])
def test_a_missing_archive_is_named_with_where_it_comes_from(missing: str, tmp_path: pathlib.Path) -> None:
    place(tmp_path / "mine")
    (tmp_path / "mine" / missing).unlink()
    with pytest.raises(DataError, match=rf"mine holds no {missing}\. .*https://image-net\.org.*config\.data\.folder"):
        open_dataset("imagenet2012", str(tmp_path), str(tmp_path / "mine"))


@pytest.mark.parametrize(
    "name, files, says",
    [
        (TRAIN, {"n99999999.tar": b"x"}, r"'n99999999\.tar', must be archives of the 1,000 synsets"),
        (TRAIN, {"n01440764.tar": b"x" * 600}, rf"{TRAIN}/n01440764\.tar can't be read: invalid header"),
        (VALIDATION, {"photo.JPEG": b"x"}, r"'photo\.JPEG', must be ILSVRC2012_val_00000001\.JPEG"),
        (VALIDATION, {"ILSVRC2012_val_00050001.JPEG": b"x"}, r"'ILSVRC2012_val_00050001\.JPEG', must be"),
    ],
)
def test_an_archive_of_something_else_is_named(
    name: str, files: dict[str, bytes], says: str, tmp_path: pathlib.Path
) -> None:
    place(tmp_path / "mine")
    pack(tmp_path / "mine" / name, files)
    with pytest.raises(DataError, match=f"'imagenet2012' can't be prepared .*{says}"):
        open_dataset("imagenet2012", str(tmp_path), str(tmp_path / "mine"))


def test_a_truncated_archive_is_refused(tmp_path: pathlib.Path) -> None:
    place(tmp_path / "mine")
    path = tmp_path / "mine" / TRAIN
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(
        DataError,
        match=rf"'imagenet2012' can't be prepared .*{TRAIN}/n15075141\.tar can't be read: unexpected end of data",
    ):
        open_dataset("imagenet2012", str(tmp_path), str(tmp_path / "mine"))
