from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Sharding, SingleDeviceSharding

from mobilenet_v2.data.prefetch import Prefetch, to_devices


class Counting:
    """Batches 0, 1, …, which knows how many were read, and whether it is closed."""

    def __init__(self, length: int):
        self.length, self.read, self.closed = length, 0, False

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if self.read == self.length:
            raise StopIteration
        self.read += 1
        return {"label": np.full(4, self.read - 1, np.int32)}

    def close(self) -> None:
        self.closed = True


def one_device() -> Sharding:
    return SingleDeviceSharding(jax.devices()[0])


def prefetch(batches: Any, depth: int = 2) -> Prefetch:
    return Prefetch(batches, one_device(), depth)


def test_a_batch_arrives_as_it_was() -> None:
    rows = {"image": np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3), "mask": np.ones(4, np.float32)}
    arrived = to_devices(rows, one_device())
    for name, array in rows.items():
        assert isinstance(arrived[name], jax.Array)
        assert arrived[name].dtype == array.dtype
        np.testing.assert_array_equal(arrived[name], array)


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
def test_all_batches_come_in_order_and_then_it_ends(depth: int) -> None:
    batches = prefetch(Counting(7), depth)
    assert [int(batch["label"][0]) for batch in batches] == list(range(7))
    with pytest.raises(StopIteration):
        next(batches)


def test_batches_are_completed_on_their_devices() -> None:
    doubled = Prefetch(Counting(3), one_device(), complete=lambda rows: {"label": rows["label"] * 2})
    assert [int(batch["label"][0]) for batch in doubled] == [0, 2, 4]


def test_no_batches_end_at_once() -> None:
    assert list(prefetch(Counting(0))) == []


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_so_many_batches_are_ahead_of_the_one_handed_out(depth: int) -> None:
    counting = Counting(10)
    batches = prefetch(counting, depth)
    for handed_out in range(1, 4):
        next(batches)
        assert counting.read == handed_out + depth


def test_closed_it_closes_what_it_reads_and_lets_go_of_what_is_ahead() -> None:
    counting = Counting(10)
    batches = prefetch(counting)
    ahead = next(batches)
    batches.close()
    assert counting.closed
    counting.length = counting.read
    assert int(ahead["label"][0]) == 0
    with pytest.raises(StopIteration):
        next(batches)


def test_nothing_is_read_before_the_first_batch_is_asked_for() -> None:
    counting = Counting(10)
    prefetch(counting)
    assert counting.read == 0
