"""Runs of a sweep as jobs of Slurm, by submitit."""

import importlib.util
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

from mobilenet_v2.ablation import command, failure
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.signals import TOLD_TO_STOP


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
        jobs = [executor.submit(Training(command.as_process(run, base), run.log, run.error)) for run in runs]
    for run, job in zip(runs, jobs, strict=True):
        print(f"job {job.job_id}: {run.name}")
    return jobs


class Training:
    """What a job does: the ordinary command. submitit asks `checkpoint` what to submit when a job is taken back."""

    def __init__(self, words: Sequence[str], log: pathlib.Path, error: pathlib.Path):
        self.words, self.log, self.error = list(words), log.absolute(), error.absolute()

    def __call__(self) -> None:
        """Runs to the end; what failed leaves its last lines for `report`, and one that was told to stop does not.

        Raises:
          CalledProcessError: if there is no result, so that the job has failed for Slurm, too.
        """
        self.error.parent.mkdir(parents=True, exist_ok=True)
        self.error.unlink(missing_ok=True)  # of an earlier start
        with open(self.log, "ab") as log:
            done = subprocess.run(self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if done.returncode not in (0, TOLD_TO_STOP):
            failure.note(self.error, done.returncode, self.log)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, self.words)

    def checkpoint(self) -> Any:
        """The same: training goes on from its newest checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)
