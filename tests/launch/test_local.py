"""`launch/local.py` with children that only know how to end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

LAUNCHER = pathlib.Path(__file__).parents[2] / "launch" / "local.py"
# Each child notes its flags in a file named by its attempt and its number, and then does what the test says.
CHILD = """
import os, pathlib, signal, sys, time
flags = dict(argument.lstrip("-").split("=") for argument in sys.argv[1:])
index = int(flags.get("process_id", 0))
attempt = len(list(pathlib.Path().glob(f"*.{index}")))
def told(number):
    signal.signal(number, lambda *_: sys.exit(130 if number == signal.SIGINT else 75))
def started():
    pathlib.Path(f"{attempt}.{index}.part").write_text(" ".join(sys.argv[1:]))
    os.rename(f"{attempt}.{index}.part", f"{attempt}.{index}")
"""


def start(folder: pathlib.Path, program: str, *flags: str, processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-c", CHILD + program]
    return subprocess.Popen(
        [sys.executable, str(LAUNCHER), f"--processes={processes}", "--grace=0.3", *flags, "--", *command],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def launch(folder: pathlib.Path, program: str, *flags: str, processes: int = 2) -> tuple[int, str]:
    launcher = start(folder, program, *flags, processes=processes)
    try:
        _, said = launcher.communicate(timeout=60)
    finally:
        launcher.kill()
    return launcher.returncode, said


def wait_for(*paths: pathlib.Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def attempts(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_is_told_its_place_and_all_finish(tmp_path: pathlib.Path) -> None:
    assert launch(tmp_path, "started()") == (0, "")
    said = [(tmp_path / f"0.{index}").read_text().split() for index in range(2)]
    assert said[0][0] == said[1][0]
    assert said[0][0].startswith("--coordinator=127.0.0.1:")
    assert [flags[1:] for flags in said] == [["--num_processes=2", f"--process_id={index}"] for index in range(2)]


def test_one_process_alone_has_no_place(tmp_path: pathlib.Path) -> None:
    assert launch(tmp_path, "started()", processes=1) == (0, "")
    assert (tmp_path / "0.0").read_text() == ""


def test_wrong_input_is_what_counts_where_another_dies_of_it(tmp_path: pathlib.Path) -> None:
    program = "started()\nif index: time.sleep(0.2), os.abort()\nsys.exit(2)"
    assert launch(tmp_path, program) == (2, "")
    assert launch(tmp_path, program.replace("if index", "if not index")) == (2, "")


def test_wrong_input_is_not_tried_again_and_the_others_are_ended(tmp_path: pathlib.Path) -> None:
    assert launch(tmp_path, "started(); sys.exit(2) if index else time.sleep(60)") == (2, "")
    assert attempts(tmp_path) == ["0.0", "0.1"]


@pytest.mark.parametrize(
    "end, status",
    [("sys.exit(1)", 1), ("sys.exit(76)", 76), ("os.abort()", 134), ("os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_after_a_death_all_start_again_at_another_port(end: str, status: int, tmp_path: pathlib.Path) -> None:
    code, said = launch(tmp_path, f"started()\nif attempt == 0: {end} if index else time.sleep(60)")
    assert (code, said) == (0, f"launch/local.py: died with status {status}, 1 of 3; starts all again\n")
    assert attempts(tmp_path) == ["0.0", "0.1", "1.0", "1.1"]
    assert (tmp_path / "0.0").read_text() != (tmp_path / "1.0").read_text()


def test_restarts_are_bounded(tmp_path: pathlib.Path) -> None:
    code, said = launch(tmp_path, "started(); sys.exit(7)", "--restarts=2", processes=1)
    assert code == 7
    *again, last = said.splitlines()
    assert [line.endswith("starts all again") for line in again] == [True, True]
    assert "died with status 7, after 2 restarts (--restarts); ends" in last
    assert "the same command goes on from the newest checkpoint" in last
    assert attempts(tmp_path) == ["0.0", "1.0", "2.0"]


def test_children_that_were_told_to_stop_start_again_and_that_is_no_death(tmp_path: pathlib.Path) -> None:
    code, said = launch(tmp_path, "started(); sys.exit(75 if attempt < 2 else 0)", "--restarts=0")
    assert (code, said) == (0, "launch/local.py: told to stop, saved; starts all again\n" * 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_one_that_was_told_before_it_handles_signals_starts_again_and_that_is_no_death(
    number: int, tmp_path: pathlib.Path
) -> None:
    program = f"started()\nif attempt == 0: os.kill(os.getpid(), {int(number)}) if index else os.abort()"
    code, said = launch(tmp_path, program, "--restarts=0")
    assert (code, said) == (0, "launch/local.py: told to stop, saved; starts all again\n")


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_reaches_all_and_none_starts_again(number: int, status: int, tmp_path: pathlib.Path) -> None:
    launcher = start(tmp_path, f"told({int(number)}); started(); time.sleep(60)")
    wait_for(tmp_path / "0.0", tmp_path / "0.1")
    launcher.send_signal(number)
    assert (launcher.communicate(timeout=60)[1], launcher.returncode) == ("", status)
    assert attempts(tmp_path) == ["0.0", "0.1"]


def test_a_signal_before_children_handle_it_is_no_death(tmp_path: pathlib.Path) -> None:
    launcher = start(tmp_path, "started(); time.sleep(60)")
    wait_for(tmp_path / "0.0", tmp_path / "0.1")
    launcher.send_signal(signal.SIGTERM)
    assert (launcher.communicate(timeout=60)[1], launcher.returncode) == ("", 75)


def test_a_terminals_ctrl_c_reaches_each_once(tmp_path: pathlib.Path) -> None:
    program = """
count = 0
def take(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, take)
started()
while not count:
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(130 if count == 1 else 1)
"""
    command = [sys.executable, str(LAUNCHER), "--processes=2", "--", sys.executable, "-S", "-c", CHILD + program]
    launcher = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    wait_for(tmp_path / "0.0", tmp_path / "0.1")
    os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does
    assert launcher.wait(60) == 130


def test_wrong_flags_are_named(tmp_path: pathlib.Path) -> None:
    code, said = launch(tmp_path, "started()", processes=0)
    assert code == 2
    assert "--processes must be at least 1" in said
    assert attempts(tmp_path) == []
