"""Processes that hold on to each other, without JAX."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from mobilenet_v2.training.watchdog import EXIT_STATUS

REPOSITORY = pathlib.Path(__file__).parents[2]
# Each says "ready", and then does what the test says; what process 0 knows, the others read in a file.
PROCESS = """
import os, pathlib, pickle, signal, sys, time
from mobilenet_v2.training import peers

folder, index, count, host = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def exchange(value):
    if index == 0:
        (folder / "part").write_bytes(pickle.dumps(value))
        (folder / "part").rename(folder / "known")
    while not (folder / "known").exists():
        time.sleep(0.01)
    return pickle.loads((folder / "known").read_bytes())

leave = peers.watch(index, count, host or None, exchange, 2)
print("ready", flush=True)
"""


def run(folder: pathlib.Path, program: str, count: int = 3, host: str = "127.0.0.1") -> list[tuple[int, str]]:
    """Status and stderr of each, all of which run `program` once all are ready; None is older than that."""
    command = [sys.executable, "-c", f"{PROCESS}sys.stdin.readline()\n{program}", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([*command, str(index), str(count), host], cwd=REPOSITORY, **pipes) for index in range(count)
    ]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)  # process 0 may not have heard of the last one yet
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, errors) for process, errors in zip(started, said, strict=True)]


def line(index: int, ended: int) -> str:
    return (
        f"\nerror: process {index} of 3: process {ended} has ended before the run, its last lines say why; this one "
        f"ends with status {EXIT_STATUS}. Start all of them again: they go on from the newest checkpoint\n"
    )


@pytest.mark.parametrize("killed", range(3))
def test_where_one_is_killed_all_others_say_which_and_end(killed: int, tmp_path: pathlib.Path) -> None:
    ended = run(tmp_path, f"if index == {killed}: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)")
    expected = [(EXIT_STATUS, line(index, killed)) for index in range(3)]
    expected[killed] = (-signal.SIGKILL, "")
    assert ended == expected


@pytest.mark.parametrize("first", range(3))
def test_one_that_leaves_in_order_leaves_the_others_in_peace(first: int, tmp_path: pathlib.Path) -> None:
    ended = run(tmp_path, f"if index != {first}: time.sleep(1)\nleave(True)\nprint('done', flush=True)")
    assert ended == [(0, "")] * 3


@pytest.mark.parametrize("alone", range(2))
def test_one_that_has_an_end_of_its_own_to_tell_is_left_to_it_and_the_others_end_then(
    alone: int, tmp_path: pathlib.Path
) -> None:
    program = f"""
if index == {alone}:
    leave(False)
    print("died", file=sys.stderr)
    time.sleep(1)
    os._exit(7)
time.sleep(60)
"""
    ended = run(tmp_path, program)
    assert ended[alone] == (7, "died\n")
    others = [index for index in range(3) if index != alone]
    assert [ended[index] for index in others] == [(EXIT_STATUS, line(index, alone)) for index in others]


def test_silence_for_longer_than_heartbeats_is_no_end(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path, "time.sleep(3)\nleave(True)", count=2) == [(0, "")] * 2


@pytest.mark.parametrize("host", ["", "127.0.0.2.invalid"])
def test_one_that_does_not_reach_process_0_goes_on_without(host: str, tmp_path: pathlib.Path) -> None:
    ended = run(
        tmp_path, "if index: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(0.5)\nleave(True)", count=2, host=host
    )
    assert ended == [(0, ""), (-signal.SIGKILL, "")]


def test_a_stranger_who_calls_is_no_process_of_the_run(tmp_path: pathlib.Path) -> None:
    program = """
import socket
if index:
    with socket.create_connection((host, exchange(None)[0])) as stranger:
        stranger.sendall(bytes(20))
    time.sleep(1)
leave(True)
"""
    assert run(tmp_path, f"if not index: time.sleep(2)\n{program}", count=2) == [(0, "")] * 2
