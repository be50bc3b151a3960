"""`launch/tpu_vm.sh` with a stand-in for gcloud, which runs what each of two workers is told on this machine."""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.run_processes import REPOSITORY

SCRIPT = REPOSITORY / "launch" / "tpu_vm.sh"
# As gcloud does, it ends with the first status that is not 0, in the order of workers, once all have ended.
GCLOUD = """#!/bin/bash
printf '%s\\n' "${*%%--command=*}" >> "$CALLS"
if [ "$4" = describe ]; then
  sleep "${DESCRIBES:-0}"
  echo "${STATE:-READY}"
  exit
fi
[ "$*" != "${*/--worker=all/}" ] || exit 99
command=${!#}
for worker in 0 1; do
  mkdir -p "$WORKERS/$worker"
  HOME=$WORKERS/$worker WORKER=$worker bash -c "${command#--command=}" &
  numbers[worker]=$!
done
for number in "${numbers[@]}"; do wait "$number"; statuses+=($?); done
for status in "${statuses[@]}"; do [ "$status" = 0 ] || exit "$status"; done
"""


@contextlib.contextmanager
def started(folder: pathlib.Path, program: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The script, edited so that workers run a program of Python; nothing of it outlives the context."""
    edits = {
        "~/mobilenet_v2 && source .venv/bin/activate": "~",
        "/dev/shm/train.pid": "'$HOME/train.pid'",
        "/dev/shm/train.status": "'$HOME/train.status'",
        "python train.py --config=configs/imagenet.py --config.data.data_dir=/shared/datasets \\\n"
        "  --workdir=/shared/runs/imagenet": "python ../program.py",
        "DEATHS_ALLOWED=3": "DEATHS_ALLOWED=1",
    }
    text = SCRIPT.read_text()
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "program.py").write_text(f"import os, signal, sys, time\nworker = os.environ['WORKER']\n{program}")
    (folder / "gcloud").write_text(GCLOUD)
    (folder / "gcloud").chmod(0o755)
    path = f"{folder}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    places = {"PATH": path, "WORKERS": str(folder), "CALLS": str(folder / "calls")}
    environment = {**os.environ, **places, **variables}
    script = subprocess.Popen(
        ["bash", "-c", text], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield script
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)


def ssh_calls(folder: pathlib.Path) -> list[list[str]]:
    calls = [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]
    return [call for call in calls if "ssh" in call]


@pytest.mark.parametrize("status", [0, 2, 130])
def test_what_starting_again_would_not_mend_ends_the_script(status: int, tmp_path: pathlib.Path) -> None:
    with started(
        tmp_path, f"assert sys.argv[1:] == ['--distributed']\nsys.exit({status} if worker == '1' else 0)"
    ) as script:
        _, error = script.communicate(timeout=60)
        assert (script.returncode, error) == (status, "")
        expected = ["compute", "tpus", "tpu-vm", "ssh", "my-tpu", "--zone=us-central2-b", "--worker=all"]
        assert ssh_calls(tmp_path)[0] == expected
        assert len(ssh_calls(tmp_path)) == 1 + bool(status), "started once, and asked for their statuses"


@pytest.mark.parametrize("ends, status", [("sys.exit(2)", 2), ("os.kill(os.getpid(), signal.SIGTERM)", 0)])
@pytest.mark.parametrize("worker", "01")
def test_why_one_ended_is_what_counts_where_another_dies_of_it(
    ends: str, status: int, worker: str, tmp_path: pathlib.Path
) -> None:
    program = f"""
if os.path.exists("started"):
    sys.exit(0)
open("started", "w").close()
if worker == "{worker}":
    {ends}
os.abort()
"""
    with started(tmp_path, program) as script:
        _, error = script.communicate(timeout=60)
        assert script.returncode == status, error
        assert "deaths: 1" not in error


@pytest.mark.parametrize("workers_too", [False, True])
def test_told_to_stop_while_it_looks_for_the_tpu_it_starts_nothing(workers_too: bool, tmp_path: pathlib.Path) -> None:
    with started(tmp_path, "", DESCRIBES="1") as script:
        wait_for(tmp_path / "calls")
        if workers_too:
            os.killpg(script.pid, signal.SIGTERM)
        else:
            script.send_signal(signal.SIGTERM)
        _, error = script.communicate(timeout=60)
        assert (script.returncode, error) == (75, "")
        assert ssh_calls(tmp_path) == []
        assert not (tmp_path / "0").exists()


def wait_for(*paths: pathlib.Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_preemptions_do_not_count_and_all_start_again(tmp_path: pathlib.Path) -> None:
    program = """
with open("attempts", "a+") as file:
    file.write("x")
    file.seek(0)
    sys.exit(75 if len(file.read()) < 4 else 0)
"""
    with started(tmp_path, program) as script:
        script.communicate(timeout=60)
        assert script.returncode == 0
        assert len(ssh_calls(tmp_path)) == 4 + 3


def test_deaths_are_bounded(tmp_path: pathlib.Path) -> None:
    with started(tmp_path, "sys.exit(76 if worker == '1' else 0)") as script:
        _, error = script.communicate(timeout=60)
        assert script.returncode == 76
        assert "died with status 76, 2 times in all; 1 are allowed" in error
        assert len(ssh_calls(tmp_path)) == 2 * 2


def told_workers(folder: pathlib.Path, group: bool) -> tuple[int, list[list[str]]]:
    """Status and calls of a script that is told to stop when its workers are under way."""
    program = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open("started", "w").close()
time.sleep(60)
"""
    with started(folder, program) as script:
        wait_for(*(folder / worker / "started" for worker in "01"))
        if group:
            os.killpg(script.pid, signal.SIGTERM)
        else:
            script.send_signal(signal.SIGTERM)
        script.communicate(timeout=60)
        return script.returncode, ssh_calls(folder)


def test_told_to_stop_it_tells_the_workers_and_ends_with_75(tmp_path: pathlib.Path) -> None:
    status, calls = told_workers(tmp_path, group=False)
    assert (status, len(calls)) == (75, 3)
    assert not any((tmp_path / worker / "train.pid").exists() for worker in "01")


def test_told_together_with_what_it_started_it_tells_the_workers_all_the_same(tmp_path: pathlib.Path) -> None:
    status, calls = told_workers(tmp_path, group=True)
    assert (status, len(calls)) == (75, 3)


def test_a_tpu_that_is_gone_is_one_error(tmp_path: pathlib.Path) -> None:
    with started(tmp_path, "", STATE="PREEMPTED") as script:
        _, error = script.communicate(timeout=60)
        assert script.returncode == 1
        assert error == "tpu_vm.sh: my-tpu is PREEMPTED, must be READY; make it anew, and start this again\n"


@pytest.mark.parametrize("name", ["tpu_vm.sh", "slurm.sbatch"])
def test_shellcheck_finds_nothing(name: str) -> None:
    command = [
        str(pathlib.Path(sys.executable).parent / "shellcheck"),
        "--exclude=SC1091",
        str(REPOSITORY / "launch" / name),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
