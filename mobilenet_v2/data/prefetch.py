"""Host batches to device batches, a few steps ahead of the one that computes."""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import grain.python as grain
import jax

DeviceBatch = dict[str, jax.Array]


def to_devices(batch: dict[str, Any], sharding: jax.sharding.Sharding) -> DeviceBatch:
    """One global batch of which this process holds its own rows."""
    return {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()}


class Prefetch:
    """Iterates over device batches and knows the data position after the last one *handed out*.

    Transfers are asynchronous, so that while a step computes the next `depth` batches are on their way. `complete`,
    where given, is what makes a batch of the rows that were transferred.
    """

    def __init__(
        self,
        batches: grain.DatasetIterator,
        sharding: jax.sharding.Sharding,
        depth: int = 2,
        complete: Callable[[DeviceBatch], DeviceBatch] = lambda rows: rows,
    ):
        self._batches, self._sharding, self._depth, self._complete = batches, sharding, depth, complete
        self._ahead: collections.deque[tuple[DeviceBatch, dict[str, Any]]] = collections.deque()
        self.position = batches.get_state()

    def __iter__(self) -> Iterator[DeviceBatch]:
        return self

    def __next__(self) -> DeviceBatch:
        while len(self._ahead) < self._depth:
            try:
                rows = next(self._batches)
            except StopIteration:
                break
            batch = self._complete(to_devices(rows, self._sharding))
            self._ahead.append((batch, self._batches.get_state()))
        if not self._ahead:
            raise StopIteration
        batch, self.position = self._ahead.popleft()
        return batch
