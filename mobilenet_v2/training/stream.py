"""What the steps of a run take, batch after batch, wherever its data lie."""

from typing import Any

import jax
from ml_collections import ConfigDict

from mobilenet_v2.data.pipeline import training_batches, training_indices, training_places
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.data.resident import gathering, hold
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.data.workers import read
from mobilenet_v2.training import sharding
from mobilenet_v2.training.replicas import batch_sharding
from mobilenet_v2.training.setup import Setup


def training_stream(setup: Setup, start_step: int = 0) -> Prefetch:
    """The training split from `start_step` on, to be closed: the step is the whole position in the data."""
    source, config, rows = setup.splits["train"], setup.config, batch_sharding(setup.config, setup.mesh)
    unreadable = setup.unreadable["train"]
    place = {
        "start_step": start_step,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
    if config.data.residence == "device":
        return resident_stream(source, config, rows, sharding.replicated(setup.mesh), unreadable, **place)
    batches = read(training_batches(source, config, **place))
    return Prefetch(unreadable.watch(batches, training_indices(source, config, **place), source), rows)


def resident_stream(
    source: Any,
    config: ConfigDict,
    rows: jax.sharding.Sharding,
    everywhere: jax.sharding.Sharding,
    unreadable: Unreadable,
    **place: int,
) -> Prefetch:
    """Batches of a split that is held where `everywhere` says, augmented there and left where `rows` says.

    Args:
      place: start_step, process_index and process_count, see `pipeline.training_places`.
    """
    examples = hold(source, config, everywhere, unreadable)
    return Prefetch(read(training_places(source, config, **place)), rows, complete=gathering(examples, config, rows))
