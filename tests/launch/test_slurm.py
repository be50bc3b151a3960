"""`launch/slurm.sbatch` under a Slurm of one node: `make test-slurm`."""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests import run_processes
from tests.launch import slurm_cluster
from tests.run_directories import assert_bit_equal, steps_taken

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not slurm_cluster.is_installed(), reason="slurmctld, slurmd, munged or sbatch is not installed"),
]

SCRIPT = run_processes.REPOSITORY / "launch" / "slurm.sbatch"
# What a user edits, as it stands in the file and as it is here.
EDITS = {
    "--nodes=2": "--nodes=1",
    "--ntasks-per-node=8": "--ntasks-per-node=2",
    "#SBATCH --gpus-per-node=8\n": "",
    "--cpus-per-task=8": "--cpus-per-task=1",
    "source .venv/bin/activate": "export JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=1",
    "DEATHS_ALLOWED=3": "DEATHS_ALLOWED=1",
}
COMMAND = "python train.py --config=configs/imagenet.py --config.data.data_dir=datasets --workdir=runs/imagenet"
STAND_IN = """
import os, signal, sys, time
task, first = os.environ["SLURM_PROCID"], "SLURM_RESTART_COUNT" not in os.environ
"""

Submit = Callable[..., str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def submit(cluster: dict[str, str], tmp_path: pathlib.Path) -> Iterator[Submit]:
    """Submits the script with another command; returns the job's number. No job outlives the test."""
    jobs = []

    def submit(command: list[str], **edits: str) -> str:
        text = SCRIPT.read_text()
        log = {"--output=slurm-%j.out": f"--output={tmp_path}/job.out", "slurm-$SLURM_JOB_ID.": f"{tmp_path}/job."}
        for old, new in {**EDITS, **log, **edits, COMMAND: shlex.join(command)}.items():
            assert text.count(old) >= 1, old
            text = text.replace(old, new)
        edited = tmp_path / "edited.sbatch"
        edited.write_text(text)
        said = subprocess.run(
            ["sbatch", "--parsable", str(edited)],
            cwd=run_processes.REPOSITORY,
            env=cluster,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        jobs.append(said.stdout.strip())
        return jobs[-1]

    yield submit
    for job in jobs:
        subprocess.run(["scancel", job], env=cluster, capture_output=True, check=False)
        slurm_cluster.wait_for_end(job, cluster)


def training(workdir: pathlib.Path, interruptible: list[str]) -> list[str]:
    return [sys.executable, "train.py", "--config=tests/tiny.py", f"--workdir={workdir}", *interruptible]


def wait_for_step(workdir: pathlib.Path, step: int, log: pathlib.Path) -> None:
    deadline = time.monotonic() + 150
    while steps_taken(workdir) < step:
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "the job did not start"
        time.sleep(0.02)


def stand_in(program: str) -> list[str]:
    """A command that knows its task's number and whether it is the first attempt."""
    return [sys.executable, "-c", STAND_IN + program]


def process_of_task(task: str, workdir: pathlib.Path) -> int:
    """The training process of a task, by what the kernel tells of all."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text().split("\0")
            environment = (process / "environ").read_bytes().split(b"\0")
            ours = command[0] == sys.executable and f"--workdir={workdir}" in command
            if ours and f"SLURM_PROCID={task}".encode() in environment:
                return int(process.name)
    raise AssertionError(f"no task {task}")


def test_told_to_stop_a_job_is_requeued_and_ends_as_if_it_had_not_been(
    submit: Submit,
    cluster: dict[str, str],
    interruptible: list[str],
    whole_of_two: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    workdir, log = tmp_path / "cut", tmp_path / "job.out"
    job = submit(training(workdir, interruptible))
    wait_for_step(workdir, 30, log)
    subprocess.run(["scancel", "--signal=TERM", job], env=cluster, check=True)
    assert slurm_cluster.wait_for_end(job, cluster) == "COMPLETED", log.read_text()
    said = log.read_text()
    assert "told to stop, saved; starts again (restart 1)" in said
    assert said.count("goes on from step") == 1
    assert not (tmp_path / "job.deaths").exists()
    assert_bit_equal(workdir, whole_of_two)


def test_one_task_killed_all_are_requeued_and_end_as_if_it_had_not_been(
    submit: Submit,
    cluster: dict[str, str],
    interruptible: list[str],
    whole_of_two: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    workdir, log = tmp_path / "cut", tmp_path / "job.out"
    job = submit(training(workdir, interruptible))
    wait_for_step(workdir, 30, log)
    os.kill(process_of_task("1", workdir), signal.SIGKILL)
    assert slurm_cluster.wait_for_end(job, cluster) == "COMPLETED", log.read_text()
    assert ", for the 1. time; starts again (restart 1)" in log.read_text()
    assert len((tmp_path / "job.deaths").read_text().splitlines()) == 1
    assert_bit_equal(workdir, whole_of_two)


def test_before_its_time_is_up_the_tasks_are_told(
    submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    program = """
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
time.sleep(100 * first)
"""
    job = submit(stand_in(program), **{"--time=24:00:00": "--time=1", "--signal=USR1@120": "--signal=USR1@55"})
    assert slurm_cluster.wait_for_end(job, cluster) == "COMPLETED"
    assert (tmp_path / "job.out").read_text().count("told to stop, saved; starts again (restart 1)") == 1


@pytest.mark.parametrize("status, state", [(0, "COMPLETED"), (2, "FAILED"), (130, "FAILED")])
def test_what_starting_again_would_not_mend_is_not_requeued(
    status: int, state: str, submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    job = submit(stand_in(f"sys.exit({status})"))
    assert slurm_cluster.wait_for_end(job, cluster) == state
    assert "starts again" not in (tmp_path / "job.out").read_text()


@pytest.mark.parametrize("task", "01")
def test_wrong_input_of_one_task_is_not_requeued_where_another_dies_of_it(
    task: str, submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    job = submit(stand_in(f"sys.exit(2) if task == '{task}' else os.abort()"))
    assert slurm_cluster.wait_for_end(job, cluster) == "FAILED"
    assert "starts again" not in (tmp_path / "job.out").read_text()
    assert not (tmp_path / "job.deaths").exists()
    assert not (tmp_path / "job.statuses").exists()


@pytest.mark.parametrize("end", ["sys.exit(75)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_where_one_task_was_told_to_stop_it_is_no_death_of_the_other(
    end: str, submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    job = submit(stand_in(f"not first and sys.exit(0)\n{end} if task == '0' else os.abort()"))
    assert slurm_cluster.wait_for_end(job, cluster) == "COMPLETED"
    assert (tmp_path / "job.out").read_text().count("told to stop, saved; starts again (restart 1)") == 1
    assert not (tmp_path / "job.deaths").exists()


def test_after_deaths_a_job_is_requeued_as_often_as_allowed(
    submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path
) -> None:
    job = submit(stand_in("os.abort() if task == '1' else sys.exit(1)"))
    assert slurm_cluster.wait_for_end(job, cluster) == "FAILED"
    said = (tmp_path / "job.out").read_text()
    assert said.count("starts again") == 1
    assert "died with status 134, for the 1. time; starts again (restart 1)" in said
    assert "job.deaths has 2 deaths, 1 are allowed" in said


def test_a_cancelled_job_stays_so(submit: Submit, cluster: dict[str, str], tmp_path: pathlib.Path) -> None:
    program = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print("started", flush=True)
time.sleep(100)
"""
    job = submit(stand_in(program))
    deadline = time.monotonic() + 60
    while not (tmp_path / "job.out").exists() or "started" not in (tmp_path / "job.out").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    subprocess.run(["scancel", job], env=cluster, check=True)
    assert slurm_cluster.wait_for_end(job, cluster) == "CANCELLED"
    time.sleep(8)  # longer than a requeued job waits
    assert slurm_cluster.state(job, cluster) == "CANCELLED"
    assert "starts again" not in (tmp_path / "job.out").read_text()
