"""Trains every point of a sweep with several seeds: `configs/ablations/` has sweeps, of digits as they stand.

ablate --config=configs/ablations/expansion_factor.py --workdir=runs/t lists the points with what they cost and how long
it will take, and trains them one after the other. The same command goes on where it was stopped, trains what a changed
sweep has added, and what failed; what is finished it leaves alone. `report --workdir=runs/t` makes table and figures of
what there is.

--config=FILE:BASE varies another config: configs/ablations/width.py:image_folder. Fields are overridden for all points
as in training. --seeds=5 is how many seeds (3), from config.seed on; --points=t1,t6 trains these alone. --jobs=2 trains
two at a time, each with half of the cores and of CUDA_VISIBLE_DEVICES; --config.replicas=3 has three seeds side by side
in a run. --keep=result removes the checkpoints of finished runs. --launcher=commands prints a shell command for
each run instead, for any scheduler, which `report` then finds; --launcher=slurm submits a job a run by submitit, with
--slurm=partition=gpu,timeout_min=600 and more of its options. --dry_run lists and ends.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence

from absl import flags as absl_flags
from ml_collections import ConfigDict
from rich.console import Console

from mobilenet_v2 import command_line
from mobilenet_v2.ablation import command, estimate, listing, local, slurm, sweep, sweep_directory
from mobilenet_v2.ablation.sweep import Planned
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.config import validate, validate_classes
from mobilenet_v2.data.pipeline import steps_of
from mobilenet_v2.data.resident import check_residence
from mobilenet_v2.data.sources import Dataset, open_configured
from mobilenet_v2.errors import AblationError, ConfigError, UserError, nearest
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.optimizer import make_schedule
from mobilenet_v2.training.setup import open_splits

_LAUNCHERS = ("local", "slurm", "commands")
_KEEP = ("checkpoints", "result")
_OPTIONAL = ("seeds", "points", "launcher", "jobs", "keep", "slurm")
_MOST = 1000  # seeds, jobs
# The fields that say which records are read: points that agree in them are looked at once.
_OF_DATA = (
    *("name", "data_dir", "folder", "skip_unreadable", "cache"),
    *("train_split", "validation_split", "test_split"),
)


def main(argv: Sequence[str]) -> None:
    """`ablate --config=FILE[:BASE] --workdir=FOLDER [--seeds=N] [--points=NAME,…] [--launcher=…] …`."""
    flags = command_line.parse(
        argv, __doc__ or "", required=["config", "workdir"], optional=_OPTIONAL, switches=["dry_run"]
    )
    launcher = _choice("launcher", flags.launcher, _LAUNCHERS)
    keep = _choice("keep", flags.keep, _KEEP)
    jobs = command_line.integer("jobs", flags.jobs, _MOST) or 1
    slurm_options = slurm.options(flags.slurm, launcher == "slurm")
    base = command.base_flags(command_line.config_first(argv))
    runs, dataset, write = _plan(flags, base)
    left = [run for run in runs if run.result is None]
    failed: list[Run] = []
    listing.print_points(runs, Console(stderr=True, width=160) if launcher == "commands" else None)
    if launcher != "commands":
        listing.print_plan(runs, left, _expected(runs, left, dataset, base, jobs) if left else None)
    if not flags.dry_run:
        with run_directory.hold(pathlib.Path(flags.workdir)):
            write()
            if launcher == "local":
                failed = local.run_all(left, base, jobs, listing.reporter(runs), keep == "result")
            elif launcher == "slurm" and left:
                slurm.submit(left, base, slurm_options)
    if launcher == "commands":
        print("\n".join(command.as_text(run, base) for run in left))
    if failed:
        raise AblationError(
            f"{len(failed)} of {len(runs)} runs failed: {'; '.join(run.name for run in failed)}; why stands in "
            f"{str(failed[0].error)!r} and its like, and the same command tries them again"
        )


def _plan(flags: absl_flags.FlagValues, base: Sequence[str]) -> tuple[list[Run], Dataset, Callable[[], None]]:
    """The runs, the data set of the baseline, and what writes `sweep.json`; nothing is written yet.

    Raises:
      UserError: whatever is wrong with any of them.
    """
    config, workdir = flags.config, pathlib.Path(flags.workdir)
    validate(config)
    path = base[0].partition("=")[2]
    seeds = _seeds(config, command_line.integer("seeds", flags.seeds, _MOST))
    found = sweep_directory.check(workdir, config)
    swept = sweep.load(path, config)
    names = sweep.chosen_names(swept, flags.points)
    planned = sweep.plan(swept, config, sweep_directory.known_costs(found, swept))
    chosen = [one for one in planned if one.point.name in names]
    dataset = _open(chosen)
    runs = sweep_directory.runs_of(workdir, chosen, seeds)

    def write() -> None:
        every = [seed + replica for seed in seeds for replica in range(config.replicas)]
        sweep_directory.write(workdir, path, config, swept, planned, chosen, every, found)

    return runs, dataset, write


def _open(chosen: Sequence[Planned]) -> Dataset:
    """The data set of the first point, after a look at everyone's: splits, classes, the length of the run.

    Raises:
      UserError: naming the point whose run would end with it.
    """
    datasets: dict[str, Dataset] = {}
    for one in chosen:
        config, key = one.config, str([one.config.data[name] for name in _OF_DATA])
        try:
            if key not in datasets:
                check = functools.partial(validate_classes, config)
                datasets[key] = open_configured(config.data, prepare=True, check=check)
            validate_classes(config, datasets[key].num_classes)
            train = open_splits(config, datasets[key], ("train", "validation", "test"))["train"]
            check_residence(train, config)
            make_schedule(config, *steps_of(train, config))
        except UserError as error:
            raise type(error)(f"point {one.point.name!r} of the sweep: {error}") from error
    return next(iter(datasets.values()))


def _expected(
    runs: Sequence[Run], left: Sequence[Run], dataset: Dataset, base: Sequence[str], jobs: int
) -> float | str:
    """Seconds that what is left will take, or why that can't be told."""
    if (measured := estimate.measured(runs, dataset)) is not None:
        return estimate.seconds_of(left, dataset, measured) / jobs
    listing.print_wait("taking a few steps of the first point, to tell how long all will take")
    tried = estimate.tried(runs[0].planned, base, jobs)
    return tried if isinstance(tried, str) else estimate.seconds_of(left, dataset, tried, estimate.START_SECONDS) / jobs


def _seeds(config: ConfigDict, count: int | None) -> range:
    """The first seed of each run, which has `config.replicas` of them side by side."""
    count = max(3, config.replicas) if count is None else count
    if count % config.replicas:
        raise ConfigError(
            f"--seeds is {count}, must be a multiple of config.replicas, {config.replicas}: so many seeds are in a run"
        )
    return range(config.seed, config.seed + count, config.replicas)


def _choice(name: str, value: str | None, known: Sequence[str]) -> str:
    if value is not None and value not in known:
        raise ConfigError(f"--{name} is {value!r}, must be one of {', '.join(known)}{nearest(value, known)}")
    return value or known[0]
