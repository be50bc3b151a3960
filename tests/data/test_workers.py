import contextlib
import hashlib
import itertools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mobilenet_v2.data.pipeline import training_batches
from mobilenet_v2.data.workers import read, signals_held
from mobilenet_v2.errors import TransientError
from tests.data.images import Failing, config, records

REPOSITORY = pathlib.Path(__file__).parents[2]
BATCH = 12

# Reads with two workers, says so, and ends as it is told to.
PROGRAM = """
import contextlib, multiprocessing, sys
from mobilenet_v2.data.pipeline import evaluation_batches, training_batches
from mobilenet_v2.data.workers import read
from tests.data.images import config, records

if sys.argv[1] == "evaluates":
    kept = list(read(evaluation_batches(records(int(sys.argv[2])), config(12, workers=2))))
    sys.exit()
with contextlib.closing(read(training_batches(records(50), config(12, workers=2)))) as batches:
    kept = [next(batches) for _ in range(int(sys.argv[2]))]
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    if sys.argv[1] == "raises":
        raise ZeroDivisionError
    while sys.argv[1] == "goes on":
        next(batches)
"""


def digests(start: int, stop: int, threads: int, workers: int, hosts: int) -> list[str]:
    """Hashes of global batches start … stop − 1."""
    source, settings = records(50), config(BATCH, threads, workers)
    with contextlib.ExitStack() as stack:
        parts: list[Any] = [
            stack.enter_context(
                contextlib.closing(
                    read(training_batches(source, settings, start_step=start, process_index=host, process_count=hosts))
                )
            )
            for host in range(hosts)
        ]
        result = []
        for _ in range(start, stop):
            rows = [next(part) for part in parts]
            joined = [np.concatenate([row[name] for row in rows]).tobytes() for name in sorted(rows[0])]
            result.append(hashlib.sha256(b"".join(joined)).hexdigest())
    return result


@pytest.mark.parametrize(
    "threads, workers, hosts",
    [
        (2, 0, 1),
        (2, 0, 3),
        (0, 2, 1),
        pytest.param(0, 1, 2, marks=pytest.mark.slow),
        pytest.param(2, 2, 2, marks=pytest.mark.slow),
        pytest.param(0, 2, 3, marks=pytest.mark.slow),
    ],
)
def test_any_set_up_reads_the_same_from_any_step_on(threads: int, workers: int, hosts: int) -> None:
    whole = digests(0, 9, threads=0, workers=0, hosts=1)
    assert len(set(whole)) == 9
    assert digests(0, 9, threads, workers, hosts) == whole
    # What one set-up left at step 5, each other goes on with: the step is all that is handed over.
    assert digests(5, 9, threads, workers, hosts) == whole[5:]


def test_a_killed_worker_ends_the_reading_with_one_error_and_no_process_left() -> None:
    batches = read(training_batches(records(50), config(BATCH, workers=2)))
    next(batches)
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"a process that reads data was killed.*exit code -9"):
        list(itertools.islice(batches, 100))
    assert time.monotonic() - started < 30
    assert multiprocessing.active_children() == []
    assert list(batches) == []


@pytest.mark.parametrize("threads, workers", [(0, 0), (2, 0), (0, 2)])
def test_what_a_reader_raises_ends_the_reading_with_that_error(threads: int, workers: int) -> None:
    batches = read(training_batches(Failing(records(50), at=7), config(BATCH, threads, workers)))
    with pytest.raises(OSError, match="record 7: input/output error"):
        list(itertools.islice(batches, 100))
    assert multiprocessing.active_children() == []
    assert list(batches) == []


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """PROGRAM, and its workers' process numbers. Nothing of it outlives the context, whatever the test finds."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlives the process that started it"
        time.sleep(0.05)


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    "how, taken, status, last",
    [
        ("ends", "1", 0, ""),
        pytest.param("ends", "7", 0, "", marks=pytest.mark.slow),
        pytest.param("raises", "3", 1, "ZeroDivisionError", marks=pytest.mark.slow),
        ("goes on", "1", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_however_a_program_ends_nothing_of_its_workers_is_left(how: str, taken: str, status: int, last: str) -> None:
    with started(how, taken) as (process, pids):
        assert len(pids) == 2
        if status == -signal.SIGINT:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        assert "leaked" not in errors
        assert (errors.splitlines() or [""])[-1] == last, errors
        wait_for_end_of(pids)


@pytest.mark.parametrize("examples", ["5", pytest.param("50", marks=pytest.mark.slow)])
def test_a_split_read_to_its_end_leaves_no_shared_memory(examples: str) -> None:
    command = [sys.executable, "-c", PROGRAM, "evaluates", examples]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "leaked" not in ended.stderr


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_workers_end_with_a_process_that_is_killed() -> None:
    with started("goes on", "1") as (process, pids):
        assert len(pids) == 2
        process.kill()
        process.communicate(timeout=60)
        wait_for_end_of(pids)


STARTS = """
import sys, time
print("starts", flush=True)
time.sleep(0.5)
from mobilenet_v2 import process
process.leave_signals_to_parent()
print("reads", flush=True)
sys.stdin.read()
"""


def test_a_worker_is_not_ended_by_what_a_scheduler_sends_while_it_starts_or_later() -> None:
    with signals_held():
        worker = subprocess.Popen(
            [sys.executable, "-c", STARTS], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert worker.stdout is not None
    for told in ("starts\n", "reads\n"):
        assert worker.stdout.readline() == told
        worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_workers_read_on_when_a_scheduler_tells_all_processes_to_stop() -> None:
    with started("goes on", "1") as (process, pids):
        assert len(pids) == 2
        for pid, number in itertools.product(pids, (signal.SIGTERM, signal.SIGUSR1)):
            os.kill(pid, number)
        time.sleep(1)
        assert process.poll() is None
        assert all(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
        process.kill()
        process.communicate(timeout=60)
        wait_for_end_of(pids)
