import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mobilenet_v2.data.pipeline import (
    evaluation_batches,
    evaluation_indices,
    training_batches,
    training_indices,
)
from mobilenet_v2.data.unreadable import Unreadable, describe
from mobilenet_v2.data.workers import read
from mobilenet_v2.errors import DataError
from tests.data.images import config, records


def batches(masks: Sequence[Sequence[int]]) -> Any:
    yield from ({"mask": np.array(mask, np.float32)} for mask in masks)


def watch(unreadable: Unreadable, masks: Sequence[Sequence[int]], examples: int = 1000) -> int:
    source = [{"image": b"damaged", "file_name": f"{index}.jpg".encode()} for index in range(examples)]
    return len(list(unreadable.watch(batches(masks), range(10_000), source)))


def test_an_unreadable_image_is_named_with_its_place_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(Unreadable("train[:10]"), [[1, 1], [1, 0]]) == 2
    assert capsys.readouterr().err == (
        "left out of split 'train[:10]': record 3 (3.jpg): "
        "can't decode an image of 7 bytes that begins with b'damaged', must be a whole JPEG, PNG, WebP, GIF, BMP, "
        "TIFF, PBM, PGM, PPM, JPEG 2000 or AVIF\n"
    )


@pytest.mark.parametrize(
    "fields, expected",
    [({}, "record 0: "), ({"id": 7}, "record 0 (7): "), ({"image/filename": "a.jpg"}, "record 0 (a.jpg): ")],
)
def test_a_record_is_called_by_what_name_it_has(fields: dict[str, Any], expected: str) -> None:
    assert describe([{"image": b"", **fields}], 0).startswith(expected)


def test_each_is_named_once_however_often_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    unreadable = Unreadable("validation")
    for _ in range(3):
        watch(unreadable, [[1, 0, 1]])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_only_the_first_few_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    watch(Unreadable("train"), [[1] + [0] * 50])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "more images of split 'train' can't be decoded; they are counted, but not named"


def test_rows_that_fill_up_are_no_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(Unreadable("train"), [[1, 1], [0, 0]], examples=2) == 2
    assert capsys.readouterr().err == ""


def test_a_start_without_one_readable_image_is_an_error() -> None:
    with pytest.raises(DataError, match=r"none of the first 104 images of split 'train' can be decoded; .*record 103"):
        watch(Unreadable("train"), [[0] * 8] * 100)
    assert watch(Unreadable("train"), [[1, 0, 0, 0]] + [[0] * 8] * 100) == 101


def test_all_of_a_small_split_unreadable_is_an_error() -> None:
    with pytest.raises(DataError, match="none of the first 3 images"):
        watch(Unreadable("train"), [[0, 0, 0, 0]], examples=3)


SET_UPS = [(0, 0), (2, 0), pytest.param(0, 2, marks=pytest.mark.slow)]


@pytest.mark.parametrize("threads, workers", SET_UPS)
def test_one_in_a_hundred_corrupt_is_counted_and_named_alike_however_it_is_read(
    threads: int, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source, settings = records(2000, corrupt=20), config(64, threads, workers)
    corrupt = {index for index in range(2000) if "can't decode" in describe(source, index)}
    assert len(corrupt) == 20
    watched = Unreadable("train").watch(
        read(evaluation_batches(source, settings)), evaluation_indices(source, settings), source
    )
    mask = np.concatenate([batch["mask"].copy() for batch in watched])[:2000]
    assert set(np.flatnonzero(mask == 0).tolist()) == corrupt
    named = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split()[1] for line in named[:-1]] == [str(index) for index in sorted(corrupt)[:5]]

    watched = Unreadable("train").watch(
        read(training_batches(source, settings)), training_indices(source, settings), source
    )
    with contextlib.closing(watched):
        taken = [next(watched) for _ in range(4 * 2000 // 64)]
        assert sum(int((batch["mask"] == 0).sum()) for batch in taken) == 4 * 20
        assert {int(label) for batch in taken for label in batch["label"][batch["mask"] == 0]} == corrupt


@pytest.mark.parametrize("threads, workers", SET_UPS)
def test_when_all_are_corrupt_the_first_batches_end_in_one_error(threads: int, workers: int) -> None:
    source, settings = [{"image": b"", "label": 0}] * 2000, config(64, threads, workers)
    watched = Unreadable("train").watch(
        read(training_batches(source, settings)), training_indices(source, settings), source
    )
    assert int(next(watched)["mask"].sum()) == 0
    with pytest.raises(DataError, match="none of the first 128 images"):
        next(watched)
    assert list(watched) == []
