"""Runs of a sweep as jobs of Slurm, by submitit."""

import importlib.util
import subprocess
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation import command
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.errors import ConfigError


def options(text: str | None, wanted: bool) -> dict[str, Any]:
    """submitit's parameters from `partition=gpu,timeout_min=600`; numbers as numbers.

    Raises:
      ConfigError: if they are of another form, are there without Slurm, or submitit is not installed.
    """
    if not wanted:
        if text is not None:
            raise ConfigError(f"--slurm is {text!r}, must be left out unless --launcher=slurm")
        return {}
    if importlib.util.find_spec("submitit") is None:
        raise ConfigError("--launcher=slurm needs submitit: pip install submitit")
    found: dict[str, Any] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--slurm has {part!r}, must be NAME=VALUE,NAME=VALUE of submitit's parameters")
        found[name] = int(value) if value.isdecimal() else value
    return found


def submit(
    runs: Sequence[Run], base: Sequence[str], parameters: dict[str, Any], cluster: str | None = None
) -> list[Any]:
    """Submits a job a run, and says their numbers; a job that Slurm takes back is put in its queue again.

    Raises:
      ConfigError: if submitit knows a parameter not, or there is no Slurm.
    """
    import submitit

    folder = runs[0].workdir / "slurm"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster or "slurm")
        executor.update_parameters(name="mobilenet-v2", **parameters)
    except (NameError, RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"--slurm: {error}") from error
    with executor.batch():
        jobs = [executor.submit(Training(command.as_process(run, base))) for run in runs]
    for run, job in zip(runs, jobs, strict=True):
        print(f"job {job.job_id}: {run.name}")
    return jobs


class Training:
    """What a job does: the ordinary command. submitit asks `checkpoint` what to submit when a job is taken back."""

    def __init__(self, words: Sequence[str]):
        self.words = list(words)

    def __call__(self) -> int:
        """Runs to the end."""
        return subprocess.run(self.words, check=True).returncode

    def checkpoint(self) -> Any:
        """The same: training goes on from its newest checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)
