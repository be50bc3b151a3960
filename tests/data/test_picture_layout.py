import pathlib

import pytest

from mobilenet_v2.data.picture_files import Listing
from mobilenet_v2.data.picture_layout import read_layout
from mobilenet_v2.errors import DataError
from tests.data.pictures import TWO_CLASSES

MANY = [f"{name}/{index}.jpg" for name in ("cat", "dog") for index in range(500)]


def listing(names: list[str], folders: list[str] | None = None) -> Listing:
    """A listing of these files and of the folders that they need, and of others."""
    needed = {str(parent) for name in names for parent in pathlib.PurePosixPath(name).parents} - {"."}
    return Listing(
        pathlib.Path("pictures"), dict.fromkeys(sorted(names), (1, 1)), frozenset(needed | set(folders or []))
    )


def prefixed(prefix: str, names: list[str]) -> list[str]:
    return [f"{prefix}{name}" for name in names]


def test_folders_named_train_and_validation_are_the_splits_and_those_in_them_the_classes() -> None:
    layout = read_layout(listing(TWO_CLASSES))
    assert layout.class_names == ("cat", "dog")
    assert {split: len(pictures) for split, pictures in layout.splits.items()} == {"train": 6, "validation": 6}
    assert layout.splits["train"]["train/dog/2.png"] == 1
    assert layout.splits["validation"]["validation/cat/0.png"] == 0


@pytest.mark.parametrize("word", ["val", "valid", "Validation", "VAL"])
def test_validation_has_shorter_names(word: str) -> None:
    names = [name.replace("validation", word) for name in TWO_CLASSES]
    assert len(read_layout(listing(names)).splits["validation"]) == 6


@pytest.mark.parametrize("word", ["Train", "training", "TRAIN"])
def test_the_training_split_has_other_names(word: str) -> None:
    layout = read_layout(listing([name.replace("train/", f"{word}/") for name in TWO_CLASSES]))
    assert layout.class_names == ("cat", "dog")
    assert len(layout.splits["train"]) == len(layout.splits["validation"]) == 6


def test_a_test_split_is_optional() -> None:
    layout = read_layout(listing([*TWO_CLASSES, "test/dog/9.png"]))
    assert layout.splits["test"] == {"test/dog/9.png": 1}
    assert list(layout.splits) == ["train", "validation", "test"]


def test_without_splits_a_fifth_is_set_aside() -> None:
    layout = read_layout(listing(MANY))
    sizes = {split: len(pictures) for split, pictures in layout.splits.items()}
    assert sum(sizes.values()) == 1000
    assert 160 < sizes["validation"] < 240
    assert layout.splits["train"].keys().isdisjoint(layout.splits["validation"])


def test_a_picture_stays_on_its_side_whatever_comes_or_goes_and_lies_above_it() -> None:
    sides = read_layout(listing(MANY)).splits["validation"].keys()
    fewer = read_layout(listing(MANY[:300] + MANY[600:])).splits["validation"].keys()
    assert fewer == {name for name in sides if name in MANY[:300] + MANY[600:]}
    below = read_layout(listing(prefixed("train/", MANY))).splits["validation"].keys()
    assert below == set(prefixed("train/", list(sides)))


def test_a_class_that_would_be_set_aside_whole_keeps_its_pictures() -> None:
    aside = next(iter(read_layout(listing(MANY)).splits["validation"]))
    alone = [name for name in MANY if name.startswith("dog/")] + [aside]
    assert aside.startswith("cat/")
    assert aside in read_layout(listing(alone)).splits["train"]


@pytest.mark.parametrize("prefix", ["emoji/", "a/b/"])
def test_a_folder_that_holds_all_the_rest_is_looked_into(prefix: str) -> None:
    layout = read_layout(listing(prefixed(prefix, TWO_CLASSES)))
    assert layout.class_names == ("cat", "dog")
    assert len(layout.splits["validation"]) == 6


def test_folders_within_a_class_belong_to_it() -> None:
    layout = read_layout(listing([*TWO_CLASSES, "train/cat/holiday/beach/7.png"]))
    assert layout.splits["train"]["train/cat/holiday/beach/7.png"] == 0
    assert layout.class_names == ("cat", "dog")


def test_a_class_may_be_called_train() -> None:
    names = [f"{name}/{index}.png" for name in ("bus", "train") for index in range(50)]
    assert read_layout(listing(names)).class_names == ("bus", "train")


def test_files_that_are_no_pictures_are_left_out_and_listed() -> None:
    layout = read_layout(listing([*TWO_CLASSES, "README.txt", "train/cat/labels.json", "train/cat/7.JPEG"]))
    assert layout.other_files == ("README.txt", "train/cat/labels.json")
    assert "train/cat/7.JPEG" in layout.splits["train"]


@pytest.mark.parametrize(
    "names, folders, says",
    [
        ([], [], "holds no picture"),
        (["a.txt"], [], "holds no picture, .* among 1 files"),
        (["1.png", "2.png"], [], r"'1\.png' in no class's folder, must be as CLASS/1\.png"),
        ([*TWO_CLASSES, "train/7.png"], [], r"'train/7\.png' in no class's folder, must be as train/CLASS/7\.png"),
        ([*TWO_CLASSES, "val/cat/7.png"], [], "'val' and 'validation', which are both the validation split"),
        ([*TWO_CLASSES, "Train/cat/7.png"], [], "'Train' and 'train', which are both the train split"),
        (["train/cat/1.png", "train/dog/1.png"], ["validation"], "a folder 'validation' without pictures"),
        (["train/cat/1.png", "train/dog/1.png"], ["val", "val/cat"], "a folder 'val' without pictures"),
        ([*TWO_CLASSES, "extra/cat/7.png"], [], r"'extra/cat/7\.png' beside the folder 'train'"),
        (["train/1.png", "validation/2.png"], [], r"'train/1\.png' in no class's folder"),
        (["test/cat/1.png", "validation/cat/2.png", "test/dog/1.png"], [], "no training pictures of class 'cat'"),
        (TWO_CLASSES, ["train/horse"], "class 'horse' without pictures"),
        (MANY, ["horse"], "class 'horse' without pictures"),
        ([*TWO_CLASSES, "validation/horse/1.png"], [], "no training pictures of class 'horse'"),
        ([*TWO_CLASSES, "train/Cat/1.png"], [], "classes 'Cat' and 'cat', which differ by case alone"),
        ([*TWO_CLASSES, "train/cat /1.png"], [], "class 'cat ', must be printable, without spaces"),
        ([*TWO_CLASSES, "train/c\nat/1.png"], [], "class 'c.nat', must be printable"),
        ([*TWO_CLASSES, "train/c\udcffat/1.png"], [], "class 'c.udcffat', must be printable"),
        ([name for name in TWO_CLASSES if "dog" not in name], [], "one class, 'cat', must have two or more"),
        (["cat/1.png", "dog/1.png"], [], "2 training pictures, too few to set some aside"),
    ],
)
def test_a_layout_that_can_not_be_meant_is_named(names: list[str], folders: list[str], says: str) -> None:
    with pytest.raises(DataError, match=f"'pictures' (has|holds) .*{says}|'pictures' {says}"):
        read_layout(listing(names, folders))
