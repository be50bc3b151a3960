"""How long a sweep will take: from the runs that are finished, or from a few steps of the baseline."""

import statistics
import subprocess
import sys
from collections.abc import Sequence

from mobilenet_v2.ablation import command
from mobilenet_v2.ablation.sweep import Planned
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.data.pipeline import steps_of
from mobilenet_v2.data.sources import Dataset

# Start, compilation and evaluation, beside the steps.
_START_SECONDS = 30.0


def seconds_of(runs: Sequence[Run], dataset: Dataset, per_unit: float) -> float:
    """Of all of them, one after the other."""
    return sum(per_unit * work(run.planned, dataset) + _START_SECONDS for run in runs)


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


def tried(baseline: Planned, base: Sequence[str]) -> float | str:
    """Seconds a multiply-add in a few steps of the baseline, without its data; or why they can't be taken."""
    overrides = [command.override(name, value) for name, value in baseline.point.overrides.items()]
    module = [sys.executable, "-m", "mobilenet_v2.ablation.trial"]
    done = subprocess.run([*module, *base, *overrides], capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.splitlines() or ["it left no word"])[-1].removeprefix("error: ")
    return float(done.stdout.split()[-1]) / _work_of_step(baseline)
