"""How long a sweep will take: from the runs that are finished, or from a few steps of the baseline."""

import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation import command, machine_share
from mobilenet_v2.ablation.sweep import Planned
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.data.pipeline import steps_of
from mobilenet_v2.data.sources import Dataset

# Start, compilation and evaluation, beside the steps; what finished runs took has them.
START_SECONDS = 30.0


def seconds_of(runs: Sequence[Run], dataset: Dataset, per_unit: float, start: float = 0.0) -> float:
    """Of all of them, one after the other; `start` is what each takes beside its steps."""
    return sum(per_unit * work(run.planned, dataset) + start for run in runs)


def work(planned: Planned, dataset: Dataset) -> float:
    """Multiply-adds of a whole training, forward: what time is taken to be proportional to."""
    config = planned.config
    steps = config.train.num_steps or steps_of(dataset.split(config.data.train_split), config)[0]
    return steps * _work_of_step(planned)


def _work_of_step(planned: Planned) -> float:
    config = planned.config
    size = (config.augment.image_size or config.data.image_size) / config.data.image_size
    return config.replicas * config.train.batch_size * planned.multiply_adds * size**2


def measured(finished: Sequence[Run], dataset: Dataset) -> float | None:
    """Seconds a multiply-add, of the runs that are finished; None where none is."""
    quotients = [run.result["seconds"] / work(run.planned, dataset) for run in finished if run.result is not None]
    return statistics.median(quotients) if quotients else None


def tried(baseline: Planned, base: Sequence[str], jobs: int) -> float | str:
    """Seconds a multiply-add in a few steps of the baseline, without its data; or why they can't be taken.

    It has the part of the machine that one of `jobs` runs will have, and leaves the others' idle.
    """
    overrides = [command.override(name, value) for name, value in baseline.point.overrides.items()]
    module = [sys.executable, "-m", "mobilenet_v2.ablation.trial"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with machine_share.start([*module, *base, *overrides], 0, jobs, **pipes) as process:
        said, errors = process.communicate()
    if process.returncode:
        return (errors.splitlines() or ["it left no word"])[-1].removeprefix("error: ")
    return float(said.split()[-1]) / _work_of_step(baseline)
