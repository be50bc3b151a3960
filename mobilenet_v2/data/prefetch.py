"""Host batches to device batches, a few steps ahead of the one that computes."""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import jax

DeviceBatch = dict[str, jax.Array]


def to_devices(batch: dict[str, Any], sharding: jax.sharding.Sharding) -> DeviceBatch:
    """One global batch of which this process holds its own rows."""
    return {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()}


class Prefetch:
    """Iterates over device batches.

    Transfers are asynchronous, so that while a step computes the next `depth` batches are on their way. `complete`,
    where given, is what makes a batch of the rows that were transferred.
    """

    def __init__(
        self,
        batches: Iterator[dict[str, Any]],
        sharding: jax.sharding.Sharding,
        depth: int = 2,
        complete: Callable[[DeviceBatch], DeviceBatch] = lambda rows: rows,
    ):
        self._batches, self._sharding, self._depth, self._complete = batches, sharding, depth, complete
        self._ahead: collections.deque[DeviceBatch] = collections.deque()

    def __iter__(self) -> Iterator[DeviceBatch]:
        return self

    def __next__(self) -> DeviceBatch:
        # One is handed out, and `depth` stay ahead of it.
        while len(self._ahead) <= self._depth:
            try:
                self._ahead.append(self._complete(to_devices(next(self._batches), self._sharding)))
            except StopIteration:
                break
        if not self._ahead:
            raise StopIteration
        return self._ahead.popleft()

    def close(self) -> None:
        """Lets go of the batches ahead, and closes the iterator that they come from."""
        self._ahead.clear()
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
