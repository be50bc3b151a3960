import subprocess
import sys
import time

import pytest

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import processes
from mobilenet_v2.training.processes import Place
from tests import run_processes

SLURM = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "a"}


@pytest.mark.parametrize(
    "environment, place",
    [
        ({}, None),
        (SLURM, Place()),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_NTASKS": "2"}, None),  # in an allocation, but not started by srun
        ({"OMPI_COMM_WORLD_SIZE": "4"}, Place()),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}, Place()),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, Place()),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
    ],
)
def test_a_cluster_shows_by_what_it_sets(environment: dict[str, str], place: Place | None) -> None:
    assert processes.find_place(None, None, None, False, environment) == place


def test_flags_say_it_where_the_environment_does_not() -> None:
    assert processes.find_place(None, None, None, True, {}) == Place()
    assert processes.find_place("host:80", "3", "2", False, SLURM) == Place("host:80", 3, 2)


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ("host:80", None, None),
            "flag --num_processes is missing; --coordinator, --num_processes and --process_id",
        ),
        ((None, "2", "0"), "flag --coordinator is missing"),
        (("host", "2", "0"), "--coordinator is 'host', must be HOST:PORT"),
        (("host:99999", "2", "0"), "--coordinator is 'host:99999', must be HOST:PORT"),
        (("host:80", "0", "0"), "--num_processes is '0', must be an integer in 1"),
        (("host:80", "2", "2"), "--process_id is '2', must be an integer in 0 … 1"),
        (("host:80", "2", "-1"), "--process_id is '-1', must be an integer in 0 … 1"),
    ],
)
def test_a_wrong_flag_is_named(flags: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        processes.find_place(*flags, False, {})


def test_one_process_needs_nobody() -> None:
    assert processes.is_first()
    assert processes.together(lambda: 3) == 3
    assert processes.first_of([1, 2]) == [1, 2]
    with pytest.raises(ZeroDivisionError), processes.joined(None, 10):
        processes.together(lambda: 1 // 0)


SCRIPT = """
import sys, time
from mobilenet_v2 import process
from mobilenet_v2.errors import DataError
from mobilenet_v2.training import processes

def fail_in(index, error):
    if processes.jax.process_index() == index:
        raise error
    return "fine"

def main(argv):
    what, port, index = argv[1:]
    if what == "the other never comes":
        processes._JOIN_SECONDS = 3
        if index == "1":
            return
    with processes.joined(processes.Place(f"127.0.0.1:{port}", 2, int(index)), 10):
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


def test_one_that_waits_in_vain_for_the_others_ends_as_one_that_is_to_be_started_again() -> None:
    statuses, _, errors = pair("the other never comes")
    assert statuses[0] not in (0, 2, 75, 130), errors[0]


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
    assert statuses[0] != 0
    assert "error: process 1 of 2: this one alone" in errors[1]
    assert time.monotonic() - begin < 60
