import signal
import subprocess
import sys
import time

import pytest
from ml_collections import ConfigDict

from mobilenet_v2.training import processes
from mobilenet_v2.training.watchdog import EXIT_STATUS
from tests import run_processes


def test_one_process_needs_nobody() -> None:
    assert processes.is_first()
    assert processes.together(lambda: 3) == 3
    assert processes.first_of([1, 2]) == [1, 2]
    with pytest.raises(ZeroDivisionError), processes.joined(None, ConfigDict()):
        processes.together(lambda: 1 // 0)


SCRIPT = """
import os, signal, sys, time
from ml_collections import ConfigDict
from mobilenet_v2 import process
from mobilenet_v2.errors import DataError
from mobilenet_v2.training import cluster, processes

def fail_in(index, error):
    if processes.jax.process_index() == index:
        raise error
    return "fine"

def main(argv):
    what, port, index = argv[1:]
    if what == f"{index} never comes":
        return
    parallel = ConfigDict({"join_seconds": 2 if "never" in what else 60, "heartbeat_seconds": 10})
    with processes.joined(cluster.Place(f"127.0.0.1:{port}", 2, int(index)), parallel):
        print(processes.gather_bytes(b"x" * (1 + int(index))), processes.first_of(int(index) + 5), flush=True)
        if what == "wrong in one":
            processes.together(lambda: fail_in(1, DataError("folder 'a' is missing")))
        if what == "wrong in both":
            processes.together(lambda: fail_in(int(index), DataError(f"wrong in {index}")))
        if what == "a bug in one":
            processes.together(lambda: fail_in(1, ZeroDivisionError("by zero")))
        if what == "dies alone":
            fail_in(1, DataError("this one alone"))
            processes.first_of(None)
        if what == f"{index} is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if "is killed" in what:
            time.sleep(60)

sys.exit(process.execute(main, sys.argv))
"""


def pair(what: str) -> tuple[list[int], list[str], list[str]]:
    port = str(run_processes.free_port())
    command = [sys.executable, "-c", SCRIPT, what, port]
    return run_processes.finish(
        [
            subprocess.Popen(
                [*command, str(index)],
                cwd=run_processes.REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]
    )


def test_what_one_process_finds_wrong_both_end_with_and_one_tells() -> None:
    statuses, said, errors = pair("wrong in one")
    assert statuses == [2, 2]
    assert all("[b'x', b'xx'] 5" in text for text in said)
    assert [errors[0].count("error: folder 'a' is missing"), errors[1]] == [1, ""]


@pytest.mark.parametrize("waits", [0, 1])
def test_one_that_waits_in_vain_says_so_and_ends_as_one_that_is_to_be_started_again(waits: int) -> None:
    statuses, _, errors = pair(f"{1 - waits} never comes")
    assert statuses[waits] == EXIT_STATUS
    [line] = errors[waits].strip().splitlines()
    assert f"error: process {waits} of 2 has waited 2 seconds (config.parallel.join_seconds) for the others" in line
    assert "All must be started, and reach process 0 at 127.0.0.1:" in line


@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_is_killed_the_other_says_so_and_ends_as_one_that_is_to_be_started_again(killed: int) -> None:
    begin = time.monotonic()
    statuses, _, errors = pair(f"{killed} is killed")
    assert (statuses[killed], statuses[1 - killed]) == (-signal.SIGKILL, EXIT_STATUS)
    [line] = [line for line in errors[1 - killed].splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: process {1 - killed} of 2: process {killed} has ended before the run")
    assert line.endswith("they go on from the newest checkpoint")
    assert "stack trace" not in errors[1 - killed]
    assert time.monotonic() - begin < 60


def test_what_both_find_wrong_is_told_once() -> None:
    statuses, _, errors = pair("wrong in both")
    assert statuses == [2, 2]
    assert "error: wrong in 0\n" in errors[0]
    assert errors[1] == ""


def test_a_bug_in_one_has_its_traceback_there_and_a_line_in_the_other() -> None:
    statuses, _, errors = pair("a bug in one")
    assert statuses == [1, 1]
    assert "error: process 0 of 2: process 1 failed: ZeroDivisionError: by zero" in errors[0]
    assert "Traceback" in errors[1]
    assert "ZeroDivisionError: by zero" in errors[1]


def test_a_process_that_ends_alone_takes_the_other_with_it_within_seconds() -> None:
    begin = time.monotonic()
    statuses, _, errors = pair("dies alone")
    assert statuses[1] == 2
    assert statuses[0] == EXIT_STATUS
    assert "error: process 0 of 2: process 1 has ended before the run" in errors[0]
    assert "Traceback" not in errors[0]
    assert "error: process 1 of 2: this one alone" in errors[1]
    assert time.monotonic() - begin < 60
