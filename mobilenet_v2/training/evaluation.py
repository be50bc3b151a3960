"""Exact evaluation: every example of a split once, over all devices and processes."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.data.pipeline import evaluation_batches, evaluation_indices
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.data.workers import read
from mobilenet_v2.errors import DataError, DivergenceError
from mobilenet_v2.training import metrics, sharding
from mobilenet_v2.training.state import TrainState

_UNDER_WAY = 4  # batches; so many keep a device busy


def evaluate_split(
    eval_step: Callable[..., Any],
    variables: dict[str, Any],
    source: Any,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    unreadable: Unreadable | None = None,
    progress: Callable[[], None] = lambda: None,
) -> metrics.Sums:
    """Sums of loss, correct and count over `source`; `unreadable` names the images that can't be decoded.

    Of several replicas each sum is an array, NaN where a replica's loss is not finite. `progress` is called after each
    batch.

    Raises:
      DataError: if more than `config.data.max_unreadable` of its images can't be decoded, or a data worker ended.
      DivergenceError: if the loss is not finite, of all replicas where there are several.
    """
    host = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    batches = (unreadable or Unreadable("evaluation")).watch(
        read(evaluation_batches(source, config, **host)), evaluation_indices(source, config, **host), source
    )
    with contextlib.closing(Prefetch(batches, sharding.split_rows(mesh))) as prefetched:
        results = []
        for batch in prefetched:
            results.append(eval_step(variables, batch))
            # An earlier one, so that none waits for the host; fetched only when all are done.
            jax.block_until_ready(results[:-_UNDER_WAY][-1:])
            progress()
    total: metrics.Sums = {}
    for result in jax.device_get(results):
        total = metrics.add(total, result)
    missing = len(source) - float(np.min(total["count"]))  # all replicas have seen the same
    if missing > config.data.max_unreadable * len(source):
        raise DataError(
            f"{missing:.0f} of {len(source)} images can't be decoded, must be at most a share of "
            f"{config.data.max_unreadable} (config.data.max_unreadable)"
        )
    finite = np.isfinite(total["loss"])
    if not np.any(finite):
        raise DivergenceError(f"evaluation loss is {total['loss']}: the network's outputs are not finite")
    return total if np.all(finite) else {name: np.where(finite, value, np.nan) for name, value in total.items()}


def evaluate_state(
    eval_step: Callable[..., Any],
    state: TrainState,
    source: Any,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    unreadable: Unreadable | None = None,
    progress: Callable[[], None] = lambda: None,
) -> metrics.Sums:
    """Loss and accuracy on `source`; with prefix `ema_` those of the averaged variables, where there are any."""
    unreadable = unreadable or Unreadable("evaluation")

    def means(variables: dict[str, Any]) -> metrics.Sums:
        return metrics.means(evaluate_split(eval_step, variables, source, config, mesh, unreadable, progress))

    result = means(state.variables)
    if state.ema_variables is not None:
        averaged = means(state.ema_variables)
        result |= {f"ema_{name}": value for name, value in averaged.items()}
    return result
