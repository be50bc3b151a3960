"""Of a config: images a second of its loader alone, of its train step alone, and of both together."""

import contextlib
import runpy
import time
from collections.abc import Callable
from typing import Any

import jax

_SECONDS = 10.0


def measure_config(path: str) -> dict[str, Any]:
    """The three rates, and which of loader and step limits the run: the one that is slower alone."""
    from mobilenet_v2.data.pipeline import training_batches
    from mobilenet_v2.data.prefetch import Prefetch
    from mobilenet_v2.data.workers import read
    from mobilenet_v2.training import sharding
    from mobilenet_v2.training.setup import make_setup

    config = runpy.run_path(path)["get_config"]()
    setup = make_setup(config)
    source, rows = setup.splits["train"], sharding.split_rows(setup.mesh)
    rng = jax.device_put(jax.random.key(0), sharding.replicated(setup.mesh))
    held = [setup.create_state()]

    def step(batch: Any) -> None:
        held[0], metrics = setup.train_step(held[0], batch, rng)
        jax.block_until_ready(metrics)

    rates = {}
    with contextlib.closing(read(training_batches(source, config))) as batches:
        rates["loader"] = _rate(lambda: next(batches), config.train.batch_size)
    with contextlib.closing(Prefetch(read(training_batches(source, config)), rows)) as prefetched:
        batch = next(prefetched)
        rates["step"] = _rate(lambda: step(batch), config.train.batch_size)
        rates["loader_and_step"] = _rate(lambda: step(next(prefetched)), config.train.batch_size)
    return {**rates, "limited_by": min(("loader", "step"), key=lambda name: rates[name])}


def _rate(take: Callable[[], Any], batch_size: int) -> float:
    """Images a second, after some that fill the buffers or compile."""
    for _ in range(5):
        take()
    started, taken = time.perf_counter(), 0
    while time.perf_counter() - started < _SECONDS:
        take()
        taken += batch_size
    return round(taken / (time.perf_counter() - started), 1)
