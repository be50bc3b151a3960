"""Of a config: images a second of its loader alone, of its train step alone, and of both together."""

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from mobilenet_v2.training import sharding
from mobilenet_v2.training.setup import make_setup
from mobilenet_v2.training.stream import training_stream


def measure_config(config: ConfigDict, rounds: int, seconds: float = 2.0) -> dict[str, Any]:
    """Images a second, medians of `rounds` in which the three take turns of `seconds` each.

    The loader is what the training loop reads, up to batches on their devices; with `data.residence="device"` the
    gathering and augmenting there counts as loader. Neither has anything read ahead for its turn.

    Returns:
      "loader", "step", "loader_and_step"; "limited_by": the one of the first two that is slower alone.

    Raises:
      ConfigError, DataError: whatever is wrong with the config.
    """
    setup = make_setup(config)
    rng = jax.device_put(jax.random.key(0), sharding.replicated(setup.mesh))
    held = [setup.create_state()]

    def step(batch: Any) -> None:
        held[0], metrics = setup.train_step(held[0], batch, rng)
        jax.block_until_ready(metrics)

    with contextlib.closing(training_stream(setup)) as batches:
        batch = next(batches)
        turns = {
            "loader": lambda: jax.block_until_ready(next(batches)),
            "step": lambda: step(batch),
            "loader_and_step": lambda: step(next(batches)),
        }
        step(batch)  # compiles
        rates: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, take in turns.items():
                rates[name].append(_rate(take, config.train.batch_size, seconds, _read_ahead(config)))
    medians = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    return {**medians, "limited_by": min(("loader", "step"), key=lambda name: medians[name])}


def _read_ahead(config: ConfigDict) -> int:
    """Batches that may lie ready when a turn starts, which tell nothing of speed."""
    threads, workers = config.data.num_threads, config.data.num_workers
    return 3 + (threads + 2 if threads else 0) + 2 * workers


def _rate(take: Callable[[], Any], batch_size: int, seconds: float, untimed: int) -> float:
    """Images a second after `untimed` batches."""
    for _ in range(untimed):
        take()
    started, taken = time.perf_counter(), 0
    while not taken or time.perf_counter() - started < seconds:
        take()
        taken += batch_size
    return taken / (time.perf_counter() - started)
