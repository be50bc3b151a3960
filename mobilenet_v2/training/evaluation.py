"""Exact evaluation: every example of a split once, over all devices and processes."""

import math
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from mobilenet_v2.data.pipeline import evaluation_batches
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.errors import DataError, DivergenceError
from mobilenet_v2.training import metrics, sharding
from mobilenet_v2.training.state import TrainState


def evaluate_split(
    eval_step: Callable[..., Any],
    variables: dict[str, Any],
    source: Any,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
) -> metrics.Sums:
    """Sums of loss, correct and count over `source`.

    Raises:
      DataError: if more than `config.data.max_unreadable` of its images can't be decoded.
      DivergenceError: if the loss is not finite.
    """
    batches = evaluation_batches(source, config, process_index=jax.process_index(), process_count=jax.process_count())
    # Fetched only when all are under way, so that no batch waits for the host.
    results = [eval_step(variables, batch) for batch in Prefetch(iter(batches), sharding.split_rows(mesh))]
    total: metrics.Sums = {}
    for result in jax.device_get(results):
        total = metrics.add(total, result)
    unreadable = len(source) - total["count"]
    if unreadable > config.data.max_unreadable * len(source):
        raise DataError(
            f"{unreadable:.0f} of {len(source)} images can't be decoded, must be at most a share of "
            f"{config.data.max_unreadable} (config.data.max_unreadable)"
        )
    if not math.isfinite(total["loss"]):
        raise DivergenceError(f"evaluation loss is {total['loss']}: the network's outputs are not finite")
    return total


def evaluate_state(
    eval_step: Callable[..., Any],
    state: TrainState,
    source: Any,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
) -> dict[str, float]:
    """Loss and accuracy on `source`; with prefix `ema_` those of the averaged variables, where there are any."""
    result = metrics.means(evaluate_split(eval_step, state.variables, source, config, mesh))
    if state.ema_variables is not None:
        averaged = metrics.means(evaluate_split(eval_step, state.ema_variables, source, config, mesh))
        result |= {f"ema_{name}": value for name, value in averaged.items()}
    return result
