"""The training loop: restore or start, step, log, save, evaluate, and say how it ended."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from mobilenet_v2 import reporting
from mobilenet_v2.config import validate
from mobilenet_v2.data.prefetch import Prefetch
from mobilenet_v2.models import cost
from mobilenet_v2.training import checkpoint, devices, disk, metrics, replicas, run_directory, warm_start
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.ledger import Ledger
from mobilenet_v2.training.preemption import stop_request, stopped
from mobilenet_v2.training.processes import is_first, together
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.state import TrainState
from mobilenet_v2.training.stream import training_stream
from mobilenet_v2.training.trace import BeforeStep, tracing
from mobilenet_v2.training.watchdog import watchdog
from mobilenet_v2.training.writers import Writers
from mobilenet_v2.weights.arrays import Arrays


def run(config: ConfigDict, workdir: str, profile_steps: range | None = None) -> dict[str, Any]:
    """Trains `config` in `workdir`, going on from its newest checkpoint; returns what `result.json` holds.

    Several processes (`processes.joined`) that each call it take every step together.

    Args:
      profile_steps: steps of which a trace is written, for TensorBoard.

    Raises:
      UserError: of a kind that says what is wrong; nothing is written if config or workdir are.
      Preempted, KeyboardInterrupt: if a signal said to stop; everything is saved.
    """
    validate(config)
    folder = pathlib.Path(workdir)
    together(lambda: run_directory.check(folder, config))
    result = run_directory.read_result(folder)
    if result is None:
        goes_on = checkpoint.has_steps(folder / "checkpoints")
        start = together(lambda: warm_start.NOTHING if goes_on else warm_start.load(config))
        setup = together(lambda: make_setup(config))
        changed = together(lambda: run_directory.check_data(folder, setup.data)) if goes_on else None
        with _opened(folder, config, start) as manager:
            if is_first():
                for line in filter(None, (*start.notes, start.other_classes(setup.data.class_names), changed)):
                    print(line)
                run_directory.write_data(folder, setup.data)
            restored = checkpoint.restore_latest(manager, setup.abstract_state())
            result = _train(setup, folder, manager, restored, start.arrays, profile_steps)
            if is_first():
                run_directory.write_result(folder, result)
    if is_first():
        reporting.print_result(result, folder)
    return result


@contextlib.contextmanager
def _opened(folder: pathlib.Path, config: ConfigDict, start: warm_start.WarmStart) -> Iterator[ocp.CheckpointManager]:
    """The run directory, held by this run alone, with what the first process writes at every start."""
    with contextlib.ExitStack() as held:

        def create() -> None:
            if is_first():
                held.enter_context(run_directory.hold(folder))
                run_directory.create(folder, config, start.record)

        together(create)
        with disk.told(folder):
            manager = checkpoint.open_manager(folder / "checkpoints", config.train.keep_checkpoints)
        held.callback(checkpoint.close, manager)
        yield manager


def _train(
    setup: Setup,
    folder: pathlib.Path,
    manager: ocp.CheckpointManager,
    restored: checkpoint.Restored | None,
    arrays: Arrays,
    profile_steps: range | None,
) -> dict[str, Any]:
    """Takes the steps that are left, then scores the last state; a new one starts from `arrays`."""
    config = setup.config
    state: TrainState = setup.create_state(arrays) if restored is None else restored.state
    fresh: dict[str, Any] = {"sums": {}, "unreadable": 0.0, "seconds": 0.0, "diverged": None}
    extra = fresh if restored is None else restored.extra
    start = int(state.step)
    clock = time.monotonic() - extra["seconds"]
    with (
        contextlib.closing(training_stream(setup, start)) as batches,
        Writers(folder if is_first() else None, setup.total_steps, start) as writers,
        stop_request(config.parallel.agree_every) as request,
        watchdog(config.parallel.stall_minutes) as progress,
        tracing(folder / "tensorboard", profile_steps) as before_step,
    ):
        for line in filter(None, (devices.describe(setup.mesh), devices.left_idle())):
            writers.note(line)
        if start:
            writers.note(f"goes on from step {start}")
        ledger = Ledger(setup, writers, extra["sums"], extra["unreadable"], extra.get("diverged"))
        validation = _evaluate_if_due(setup, state, start, writers, ledger, progress) if start else None
        for step, new_state in _steps(setup, state, start, batches, ledger, before_step):
            state = new_state
            signal_number = request.at(step)
            if step % config.train.checkpoint_every == 0 or step == setup.total_steps or signal_number:
                ledger.settle()
                seconds = time.monotonic() - clock
                checkpoint.save(manager, state, {**ledger.kept(), "seconds": seconds, "config": config.to_dict()})
            if signal_number:
                checkpoint.wait(manager)
                raise stopped(signal_number, step)
            progress()
            validation = _evaluate_if_due(setup, state, step, writers, ledger, progress)
        checkpoint.wait(manager)
        assert validation is not None  # the last step's
        scores = {"validation": validation}
        if "test" in setup.splits:
            scores["test"] = _evaluate(setup, state, "test", setup.total_steps, ledger, progress)
        told = replicas.result(config, scores, ledger.diverged)
    return _result(setup, told, seconds=time.monotonic() - clock)


def _steps(
    setup: Setup,
    state: TrainState,
    start: int,
    batches: Prefetch,
    ledger: Ledger,
    before_step: BeforeStep,
) -> Iterator[tuple[int, TrainState]]:
    """Yields (steps taken, state) after each step; the ledger gets each step's metrics."""
    rng = replicas.training_keys(setup.config, setup.mesh)
    for step in range(start + 1, setup.total_steps + 1):
        before_step(step, ledger.settle)
        with ledger.waiting():
            batch = next(batches)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            state, sums = setup.train_step(state, batch, rng)
        ledger.enter(step, sums)
        yield step, state


def _evaluate_if_due(
    setup: Setup, state: TrainState, step: int, writers: Writers, ledger: Ledger, progress: Callable[[], None]
) -> metrics.Sums | None:
    """Scores the validation split; again after a restart at this very step, for the row may be missing."""
    if step % setup.config.train.evaluate_every and step != setup.total_steps:
        return None
    scores = _evaluate(setup, state, "validation", step, ledger, progress)
    writers.write("validation", step, **scores)
    text = reporting.format_scores(metrics.averages(scores), len(setup.splits["validation"]))
    writers.note(f"step {step}: validation accuracy {text}{reporting.of_replicas(ledger.diverged)}")
    return scores


def _evaluate(
    setup: Setup, state: TrainState, use: str, step: int, ledger: Ledger, progress: Callable[[], None]
) -> metrics.Sums:
    source, unreadable = setup.splits[use], setup.unreadable[use]
    with ledger.aside():
        scores = evaluate_state(setup.eval_step, state, source, setup.config, setup.mesh, unreadable, progress)
    progress()
    return ledger.without_diverged(scores, step)


def _result(setup: Setup, scores: dict[str, Any], seconds: float) -> dict[str, Any]:
    counted = cost.count(setup.model, setup.config.data.image_size, setup.config.data.channels)
    return {
        "steps": setup.total_steps,
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
        "examples": setup.data.examples,
        **scores,
        "seconds": round(seconds, 1),
    }
