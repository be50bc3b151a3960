import hashlib
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mobilenet_v2.data.builders.digits import split_rows
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.sources import Dataset, open_dataset

SIZES = {"train": 1257, "validation": 270, "test": 270}
TEST_ROWS_SHA256 = "b403438edb7e663b82104dec49d0b99fe580d81e74641a966facb28089ecde13"


def scans() -> Any:
    return load_digits()


@pytest.fixture(scope="module")
def dataset(data_dir: str) -> Dataset:
    return open_dataset("digits", data_dir)


def test_the_splits_hold_1257_270_and_270_examples(dataset: Dataset) -> None:
    assert {name: len(dataset.split(name)) for name in SIZES} == SIZES
    assert dataset.class_names == tuple("0123456789")
    assert dataset.num_classes == 10


def test_every_digit_is_in_exactly_one_split() -> None:
    rows = split_rows(scans().target)
    assert {name: len(split) for name, split in rows.items()} == SIZES
    assert sorted(np.concatenate(list(rows.values()))) == list(range(1797))


def test_each_class_has_its_share_of_every_split() -> None:
    labels = scans().target
    overall = np.bincount(labels, minlength=10) / len(labels)
    for rows in split_rows(labels).values():
        counts = np.bincount(labels[rows], minlength=10)
        assert np.abs(counts - overall * len(rows)).max() <= 1


def test_the_test_rows_never_change() -> None:
    rows = np.sort(split_rows(scans().target)["test"]).astype("<i4")
    assert hashlib.sha256(rows.tobytes()).hexdigest() == TEST_ROWS_SHA256


@pytest.mark.parametrize("split", SIZES)
def test_a_record_holds_the_scan_its_label_and_its_row(split: str, dataset: Dataset) -> None:
    digits = scans()
    source = dataset.split(split)
    records = [source[index] for index in range(len(source))]
    ids = [int(record["id"]) for record in records]
    assert sorted(ids) == sorted(split_rows(digits.target)[split])
    for row, record in zip(ids, records, strict=True):
        pixels = np.round(digits.images[row] * 255 / 16).astype(np.uint8)
        np.testing.assert_array_equal(decode(record["image"]), np.repeat(pixels[:, :, None], 3, axis=2))
        assert record["label"] == digits.target[row]
