import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.data import inspection
from mobilenet_v2.data.sources import open_dataset

NAMES = tuple("0123456789")


def examples(count: int, side: int = 8, channels: int = 3) -> dict[str, np.ndarray]:
    images = np.full((count, side, side, channels), 7, np.uint8)
    return {"image": images, "label": np.zeros(count, np.int32), "mask": np.ones(count, np.float32)}


@pytest.mark.parametrize("count, side, size", [(1, 128, (1, 1)), (5, 128, (3, 2)), (64, 128, (8, 8))])
def test_pictures_fill_rows_as_many_as_columns(count: int, side: int, size: tuple[int, int]) -> None:
    sheet = inspection.sheet(examples(count, side), NAMES)
    assert sheet.size == (size[0] * 132 + 4, size[1] * 150 + 4)


@pytest.mark.parametrize("side, channels", [(8, 3), (32, 1), (200, 3)])
def test_a_picture_is_shown_as_it_is_enlarged_by_a_whole_factor(side: int, channels: int) -> None:
    rows = examples(1, side, channels)
    rows["image"] = np.random.default_rng(0).integers(0, 256, rows["image"].shape, np.uint8)
    factor = max(1, -(-128 // side))
    sheet = np.asarray(inspection.sheet(rows, NAMES))
    shown = sheet[4 : 4 + side * factor : factor, 4 : 4 + side * factor : factor]
    np.testing.assert_array_equal(shown, np.broadcast_to(rows["image"][0], (side, side, 3)))


def test_the_class_is_written_below_and_a_long_name_does_not_reach_the_next_picture() -> None:
    rows = examples(2)
    sheet = np.asarray(inspection.sheet(rows, ["W" * 50, "b"]))
    below = sheet[132:150]
    assert (below[:, 4:132] < 128).any()
    assert (below[:, 132:136] == 255).all()


def test_below_a_mixture_stand_both_classes_with_their_shares() -> None:
    rows = examples(3) | {"partner_label": np.full(3, 4, np.int32), "own_share": np.array([0.704, 1, 0.5], np.float32)}
    rows["mask"][2] = 0
    assert [inspection._caption(rows, index, NAMES) for index in range(3)] == [
        ["70% 0", "30% 4"],
        ["0"],
        ["unreadable"],
    ]
    sheet = np.asarray(inspection.sheet(rows, NAMES))
    assert sheet.shape[:2] == (2 * (132 + 2 * 18) + 4, 2 * 132 + 4)
    second_lines = sheet[150:168]
    assert (second_lines[:, 4:132] < 128).any()
    assert (second_lines[:, 136:264] == 255).all()


def test_a_picture_that_cannot_be_read_is_framed_in_red() -> None:
    rows = examples(2)
    rows["mask"][1] = 0
    sheet = np.asarray(inspection.sheet(rows, NAMES))
    assert sheet[4, 4].tolist() == [7, 7, 7]
    assert sheet[4, 136].tolist() == [220, 0, 0]


def test_counts_are_those_of_the_splits_that_the_config_names(tiny_config: ConfigDict, data_dir: str) -> None:
    dataset = open_dataset("digits", data_dir)
    counts = inspection.class_counts(dataset, tiny_config)
    assert {use: sum(numbers) for use, numbers in counts.items()} == {"train": 200, "validation": 50, "test": 40}
    source = dataset.split("train[:200]")
    assert counts["train"][3] == sum(int(source[index]["label"]) == 3 for index in range(200))
    tiny_config.data.test_split = None
    assert list(inspection.class_counts(dataset, tiny_config)) == ["train", "validation"]


def test_absent_classes_and_unreadable_pictures_are_warned_of() -> None:
    rows = examples(4)
    assert inspection.warnings({"train": [1, 2], "test": [3, 4]}, rows, ["cat", "dog"]) == []
    rows["mask"][:2] = 0
    assert inspection.warnings({"train": [1, 2], "test": [3, 0]}, rows, ["cat", "dog"]) == [
        "test has no example of class 'dog'",
        "2 of the 4 pictures on the sheet can't be read",
    ]
    assert inspection.warnings({"test": [0] * 9 + [1]}, examples(1), NAMES) == [
        "test has no example of class '0', '1', '2' and 6 others"
    ]
