"""Sources to host batches with Grain: this host's contiguous rows of each global batch.

A training batch is a function of (seed, step) alone, so the whole position in the data is the step, and neither a
restart nor the number of threads, worker processes or hosts changes what a step sees.
"""

import dataclasses
import sys
from typing import Any

import grain.python as grain
from ml_collections import ConfigDict

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

    A batch may span two epochs: no example is dropped. Every host must hold the same `source`.

    Args:
      source: random access to records.
      config: the whole config; `data`, `augment`, `seed` and `train.batch_size` matter here.
      start_step: batches that were taken before, under whatever numbers of threads, workers and hosts.
      process_index, process_count: this host, and how many share a global batch.
      transform: makes an example of a record; None: as `config.augment` says.
    """
    examples = _shuffled(source, config).random_map(transform or Augment.of(config))
    return _read_ahead(_local_rows(examples, config, start_step, process_index, process_count), config)


def training_indices(
    source: Any, config: ConfigDict, *, start_step: int = 0, process_index: int = 0, process_count: int = 1
) -> grain.MapDataset:
    """Which records of `source` the rows of `training_batches` are, one after the other."""
    return _local_rows(_shuffled(range(len(source)), config), config, start_step, process_index, process_count)


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
    return Source(source).seed(config.seed).shuffle().repeat()


def _local_rows(
    examples: grain.MapDataset, config: ConfigDict, start_step: int, process_index: int, process_count: int
) -> "LocalRows":
    rows = config.train.batch_size // process_count
    return LocalRows(examples, config.train.batch_size, process_index * rows, rows, start_step)


def _read_ahead(local: "LocalRows", config: ConfigDict) -> grain.IterDataset:
    threads, workers = config.data.num_threads, config.data.num_workers
    # Grain's default options read 500 elements ahead, and an element here is a batch.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 2 if threads else 0)
    batches = local.batch(local.rows, drop_remainder=True).to_iter_dataset(options)
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
