"""Sources to host batches with Grain: this host's contiguous rows of each global batch.

A training batch is a function of (seed, step) alone, so the whole position in the data is the step, and neither a
restart nor the number of threads, worker processes or hosts changes what a step sees.

Of several replicas that don't share their data, a batch is [replicas, B, …]: of each the batch of a run with its seed.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import grain.python as grain
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.config_singles import singles
from mobilenet_v2.data.transforms import Augment, Preprocess
from mobilenet_v2.data.workers import start_worker


def training_batches(
    source: Any,
    config: ConfigDict,
    *,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    transform: grain.RandomMapTransform | None = None,
) -> grain.IterDataset:
    """Endless shuffled, augmented batches.

    A batch may span two epochs: no example is dropped. Every host must hold the same `source`. With
    `config.augment.repeats` r, each example of the shuffled order takes r places, one after the other (Hoffer et al.
    2020): an epoch is as many places as there are examples, 1 / r of which it sees, and all are seen after r epochs.

    Args:
      source: random access to records.
      config: the whole config; `data`, `augment`, `seed` and `train.batch_size` matter here.
      start_step: batches that were taken before, under whatever numbers of threads, workers and hosts.
      process_index, process_count: this host, and how many share a global batch.
      transform: makes an example of a record; None: as `config.augment` says.
    """

    def examples(config: ConfigDict) -> grain.MapDataset:
        return _shuffled(source, config).random_map(transform or Augment.of(config))

    return _read_ahead(_training_rows(examples, config, start_step, process_index, process_count), config)


def training_indices(
    source: Any, config: ConfigDict, *, start_step: int = 0, process_index: int = 0, process_count: int = 1
) -> grain.MapDataset:
    """Which records of `source` the rows of `training_batches` are, one after the other."""
    indices = functools.partial(_shuffled, range(len(source)))
    return _training_rows(indices, config, start_step, process_index, process_count)


def training_places(
    source: Any, config: ConfigDict, *, start_step: int = 0, process_index: int = 0, process_count: int = 1
) -> grain.IterDataset:
    """What the rows of `training_batches` are, without reading one.

    Batches are {"index": int32 [B], of `source`; "position": uint32 [B], in the endless stream, modulo 2³²}.
    """

    def places(config: ConfigDict) -> grain.MapDataset:
        return _shuffled(range(len(source)), config).map_with_index(_place)

    return _read_ahead(_training_rows(places, config, start_step, process_index, process_count), config)


def evaluation_batches(
    source: Any, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.IterDataset:
    """Every example once, in order; the last batch is filled up with rows of mask 0."""
    padded = _Padded(source, config.train.batch_size)
    examples = Source(padded).map(Preprocess.of(config.data))
    return _read_ahead(_local_rows(examples, config, 0, process_index, process_count), config)


def evaluation_indices(
    source: Any, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
) -> grain.MapDataset:
    """Which records of `source` the rows of `evaluation_batches` are; those past its end fill up."""
    padded = range(len(_Padded(source, config.train.batch_size)))
    return _local_rows(Source(padded), config, 0, process_index, process_count)


def _shuffled(source: Any, config: ConfigDict) -> grain.MapDataset:
    """Epoch after epoch, each in an order of its own that the seed and the length of `source` decide."""
    shuffled = Source(source).seed(config.seed).shuffle().repeat()
    return _Repeated(shuffled, config.augment.repeats) if config.augment.repeats > 1 else shuffled


def _place(position: int, index: int) -> dict[str, Any]:
    return {"index": np.int32(index), "position": np.uint32(position % 2**32)}


def _training_rows(
    examples: Callable[[ConfigDict], grain.MapDataset],
    config: ConfigDict,
    start_step: int,
    process_index: int,
    process_count: int,
) -> "LocalRows | SideBySide":
    """This host's rows of the endless `examples` of a config, or of those of each replica's."""
    place = start_step, process_index, process_count
    if config.replicas == 1 or config.replica_data == "shared":
        return _local_rows(examples(config), config, *place)
    return SideBySide([_local_rows(examples(single), single, *place) for single in singles(config)])


def _local_rows(
    examples: grain.MapDataset, config: ConfigDict, start_step: int, process_index: int, process_count: int
) -> "LocalRows":
    rows = config.train.batch_size // process_count
    return LocalRows(examples, config.train.batch_size, process_index * rows, rows, start_step)


def _read_ahead(local: "LocalRows | SideBySide", config: ConfigDict) -> grain.IterDataset:
    threads, workers = config.data.num_threads, config.data.num_workers
    # Grain's default options read 500 elements ahead, and an element here is a batch.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 2 if threads else 0)
    batches = local.batch(local.rows, drop_remainder=True)
    if isinstance(local, SideBySide):
        batches = batches.batch(local.replicas, drop_remainder=True)
    batches = batches.to_iter_dataset(options)
    if not workers:
        return batches
    return batches.mp_prefetch(
        grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2), worker_init_fn=start_worker
    )


class Source(grain.MapDataset):
    """As `MapDataset.source`, which besides measures each record for Prometheus: a third of Grain's time a record."""

    def __init__(self, records: Any):
        super().__init__()
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        return self.slice(index) if isinstance(index, slice) else self._records[index % len(self._records)]


class LocalRows(grain.MapDataset):
    """Rows [start, start + rows) of each global batch from `first_batch` on, as a sharded batch lies on the devices.

    Shuffling and random transforms come before it, so that they see global indices.
    """

    def __init__(self, parent: grain.MapDataset, batch_size: int, start: int, rows: int, first_batch: int = 0):
        super().__init__(parent)
        self._batch_size, self._start, self.rows, self._first_batch = batch_size, start, rows, first_batch

    def __len__(self) -> int:
        total = len(self._parent)
        return sys.maxsize if total == sys.maxsize else (total // self._batch_size - self._first_batch) * self.rows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, row = divmod(index, self.rows)
        return self._parent[(self._first_batch + batch) * self._batch_size + self._start + row]


class SideBySide(grain.MapDataset):
    """The rows of a batch of each of several endless data sets, one after the other, then those of the next batch."""

    def __init__(self, parents: Sequence[LocalRows]):
        super().__init__(parents)
        self._local, self.replicas, self.rows = parents, len(parents), parents[0].rows

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, place = divmod(index, self.replicas * self.rows)
        replica, row = divmod(place, self.rows)
        return self._local[replica][batch * self.rows + row]


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
