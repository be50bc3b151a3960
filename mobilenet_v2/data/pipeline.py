"""Sources to host batches with Grain: this host's contiguous rows of each global batch.

A training batch is a function of (seed, index of the batch) alone, so the whole position in the data is one
integer, and neither a restart nor the number of hosts changes what a step sees.
"""

import dataclasses
import sys
from typing import Any

import grain.python as grain
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.transforms import Augment, Preprocess


def training_batches(
    source: Any, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.IterDataset:
    """Endless shuffled, augmented batches; `iter` of it has `get_state()` and `set_state()`.

    A batch may span two epochs: no example is dropped. Every host must hold the same `source`. With
    `config.augment.repeats` r, each example of the shuffled order takes r places, one after the other (Hoffer et al.
    2020): an epoch is as many places as there are examples, 1 / r of which it sees, and all are seen after r epochs.

    Args:
      source: random access to records.
      config: the whole config; `data`, `augment`, `seed` and `train.batch_size` matter here.
      process_index, process_count: this host, and how many share a global batch.
    """
    examples = _shuffled(source, config).random_map(Augment.of(config))
    return _batched(examples, config, process_index, process_count)


def training_places(
    source: Any, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.IterDataset:
    """What the rows of `training_batches` are, without reading one.

    Batches are {"index": int32 [B], of `source`; "position": uint32 [B], in the endless stream, modulo 2³²}.
    """
    places = _shuffled(range(len(source)), config).map_with_index(_place)
    return _batched(places, config, process_index, process_count)


def evaluation_batches(
    source: Any, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.IterDataset:
    """Every example once, in order; the last batch is filled up with rows of mask 0."""
    padded = _Padded(source, config.train.batch_size)
    examples = grain.MapDataset.source(padded).map(Preprocess.of(config.data))
    return _batched(examples, config, process_index, process_count)


def _shuffled(source: Any, config: ConfigDict) -> grain.MapDataset:
    """Epoch after epoch, each in an order of its own that the seed and the length of `source` decide."""
    shuffled = grain.MapDataset.source(source).seed(config.seed).shuffle().repeat()
    return _Repeated(shuffled, config.augment.repeats) if config.augment.repeats > 1 else shuffled


def _place(position: int, index: int) -> dict[str, Any]:
    return {"index": np.int32(index), "position": np.uint32(position % 2**32)}


def _batched(examples: Any, config: ConfigDict, process_index: int, process_count: int) -> grain.IterDataset:
    rows = config.train.batch_size // process_count
    local = LocalRows(examples, config.train.batch_size, process_index * rows, rows)
    # Grain's default options read 500 elements ahead, and an element here is a batch.
    options = grain.ReadOptions(num_threads=config.data.num_threads, prefetch_buffer_size=2 * config.data.num_threads)
    return local.batch(rows, drop_remainder=True).to_iter_dataset(options)


class LocalRows(grain.MapDataset):
    """Rows [start, start + rows) of each global batch: the order in which a sharded batch lies on the devices.

    Shuffling and random transforms come before it, so that they see global indices.
    """

    def __init__(self, parent: grain.MapDataset, batch_size: int, start: int, rows: int):
        super().__init__(parent)
        self._batch_size, self._start, self._rows = batch_size, start, rows

    def __len__(self) -> int:
        total = len(self._parent)
        return sys.maxsize if total == sys.maxsize else total // self._batch_size * self._rows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, row = divmod(index, self._rows)
        return self._parent[batch * self._batch_size + self._start + row]


class _Repeated(grain.MapDataset):
    """Each record of an endless data set in `repeats` places; what is random comes after, and differs by place."""

    def __init__(self, parent: grain.MapDataset, repeats: int):
        super().__init__(parent)
        self._repeats = repeats

    def __len__(self) -> int:
        return len(self._parent)

    def __getitem__(self, index: Any) -> Any:
        return self.slice(index) if isinstance(index, slice) else self._parent[index // self._repeats]


@dataclasses.dataclass(frozen=True)
class _Padded:
    """`source` lengthened to whole batches; the rows past its end are marked invalid."""

    source: Any
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size) * self.batch_size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index < len(self.source):
            return self.source[index]
        return {"image": b"", "label": 0, "valid": False}


def steps_of(source: Any, config: ConfigDict) -> tuple[int, float]:
    """(optimizer steps of the whole run, steps an epoch) for this training split."""
    per_epoch = len(source) / config.train.batch_size
    total = config.train.num_steps
    return total if total is not None else max(1, round(config.train.num_epochs * per_epoch)), per_epoch
