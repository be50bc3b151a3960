"""The training loop: restore or start, step, log, save, evaluate, and say how it ended."""

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from mobilenet_v2 import reporting
from mobilenet_v2.config import validate
from mobilenet_v2.data.pipeline import training_batches, training_indices, training_places
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.data.resident import gathering, hold
from mobilenet_v2.data.workers import read
from mobilenet_v2.models import cost
from mobilenet_v2.training import checkpoint, run_directory, sharding, warm_start
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.interruption import interruption
from mobilenet_v2.training.ledger import Ledger
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.state import TrainState
from mobilenet_v2.training.writers import Writers
from mobilenet_v2.weights.arrays import Arrays


def run(config: ConfigDict, workdir: str) -> dict[str, Any]:
    """Trains `config` in `workdir`, going on from its newest checkpoint; returns what `result.json` holds.

    Raises:
      UserError: of a kind that says what is wrong; nothing is written if config or workdir are.
    """
    validate(config)
    folder = pathlib.Path(workdir)
    run_directory.check(folder, config)
    result = run_directory.read_result(folder)
    if result is None:
        goes_on = checkpoint.has_steps(folder / "checkpoints")
        start = warm_start.NOTHING if goes_on else warm_start.load(config)
        setup = make_setup(config)
        for line in start.notes:
            print(line)
        run_directory.create(folder, config, start.record)
        manager = checkpoint.open_manager(folder / "checkpoints", config.train.keep_checkpoints)
        try:
            restored = checkpoint.restore_latest(manager, setup.abstract_state())
            result = _train(setup, folder, manager, restored, start.arrays)
        finally:
            manager.close()
        run_directory.write_result(folder, result)
    reporting.print_result(result, folder)
    return result


def _train(
    setup: Setup,
    folder: pathlib.Path,
    manager: ocp.CheckpointManager,
    restored: checkpoint.Restored | None,
    arrays: Arrays,
) -> dict[str, Any]:
    """Takes the steps that are left, then scores the last state; a new one starts from `arrays`."""
    config = setup.config
    state: TrainState = setup.create_state(arrays) if restored is None else restored.state
    fresh: dict[str, Any] = {"sums": {}, "unreadable": 0.0, "seconds": 0.0}
    extra = fresh if restored is None else restored.extra
    start = int(state.step)
    clock = time.monotonic() - extra["seconds"]
    with (
        contextlib.closing(_batches(setup, start)) as batches,
        Writers(folder, setup.total_steps, start) as writers,
        interruption() as interrupted,
    ):
        if start:
            writers.note(f"goes on from step {start}")
        validation = _evaluate_if_due(setup, state, start, writers) if start else None
        ledger = Ledger(setup, writers, extra["sums"], extra["unreadable"])
        for step, new_state in _steps(setup, state, start, batches, ledger):
            state = new_state
            stops = interrupted.is_set()
            if step % config.train.checkpoint_every == 0 or step == setup.total_steps or stops:
                ledger.settle()
                seconds = time.monotonic() - clock
                extra = {"sums": ledger.sums, "unreadable": ledger.unreadable, "seconds": seconds}
                checkpoint.save(manager, state, {**extra, "config": config.to_dict()})
            if stops:
                manager.wait_until_finished()
                raise KeyboardInterrupt(f"interrupted at step {step}; the same command goes on from there")
            validation = _evaluate_if_due(setup, state, step, writers)
        manager.wait_until_finished()
        scores = {"validation": validation}
        if "test" in setup.splits:
            scores["test"] = _evaluate(setup, state, "test")
    return _result(setup, scores, seconds=time.monotonic() - clock)


def _batches(setup: Setup, start_step: int) -> Prefetch:
    """The training split from `start_step` on: the step is the whole position in the data."""
    source, config, rows = setup.splits["train"], setup.config, sharding.split_rows(setup.mesh)
    unreadable = setup.unreadable["train"]
    place = {
        "start_step": start_step,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
    if config.data.residence == "device":
        examples = hold(source, config, sharding.replicated(setup.mesh), unreadable)
        places = read(training_places(source, config, **place))
        return Prefetch(places, rows, complete=gathering(examples, config, rows))
    batches = read(training_batches(source, config, **place))
    return Prefetch(unreadable.watch(batches, training_indices(source, config, **place), source), rows)


def _steps(
    setup: Setup, state: TrainState, start: int, batches: Prefetch, ledger: Ledger
) -> Iterator[tuple[int, TrainState]]:
    """Yields (steps taken, state) after each step; the ledger gets each step's metrics."""
    rng = jax.device_put(jax.random.fold_in(jax.random.key(setup.config.seed), 1), sharding.replicated(setup.mesh))
    for step in range(start + 1, setup.total_steps + 1):
        state, sums = setup.train_step(state, next(batches), rng)
        ledger.enter(step, sums)
        yield step, state


def _evaluate_if_due(setup: Setup, state: TrainState, step: int, writers: Writers) -> dict[str, float] | None:
    """Scores the validation split; again after a restart at this very step, for the row may be missing."""
    if step % setup.config.train.evaluate_every and step != setup.total_steps:
        return None
    scores = _evaluate(setup, state, "validation")
    writers.write("validation", step, **scores)
    text = reporting.format_scores(scores, len(setup.splits["validation"]))
    writers.note(f"step {step}: validation accuracy {text}")
    return scores


def _evaluate(setup: Setup, state: TrainState, use: str) -> dict[str, float]:
    return evaluate_state(setup.eval_step, state, setup.splits[use], setup.config, setup.mesh, setup.unreadable[use])


def _result(setup: Setup, scores: dict[str, Any], seconds: float) -> dict[str, Any]:
    counted = cost.count(setup.model, setup.config.data.image_size, setup.config.data.channels)
    return {
        "steps": setup.total_steps,
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
        "examples": {use: len(source) for use, source in setup.splits.items()},
        **scores,
        "seconds": round(seconds, 1),
    }
