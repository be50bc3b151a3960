import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from mobilenet_v2 import signals

REPOSITORY = pathlib.Path(__file__).parents[1]
BY_SCHEDULERS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])


def told(program: str, number: int) -> tuple[int, str]:
    """Status and stderr of a program that is sent a signal once it has said something."""
    command = [sys.executable, "-c", f"import os, signal, sys\nfrom mobilenet_v2 import process, signals\n{program}"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        started.send_signal(number)
        _, errors = started.communicate(timeout=60)
    return started.returncode, errors


def line(number: int) -> str:
    return f"\ntold to stop ({signal.Signals(number).name}), with nothing to save; the same command starts again\n"


@BY_SCHEDULERS
def test_a_command_that_takes_no_steps_ends_at_once_and_asks_to_be_started_again(number: int) -> None:
    program = "sys.exit(process.execute(lambda argv: print(sys.stdin.read(print('ready', flush=True))), sys.argv))"
    assert told(program, number) == (75, line(number))


def test_so_it_does_in_the_middle_of_a_library_that_python_waits_for() -> None:
    program = """
import ctypes
mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
with signals.ended_when_told():
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)
"""
    assert told(program, signal.SIGTERM) == (75, line(signal.SIGTERM))


@BY_SCHEDULERS
def test_so_it_does_while_jax_is_imported(number: int) -> None:
    program = """
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            print("ready", flush=True)
            sys.stdin.read()
sys.meta_path.insert(0, Slow())
process.execute(lambda argv: None, sys.argv)
"""
    assert told(program, number) == (75, line(number))


TOLD_WHILE_TAKING_STEPS = """
import time
from mobilenet_v2.training.preemption import stop_request, stopped

def main(argv):
    try:
        with stop_request() as request:
            print("ready", flush=True)
            while not request.told:
                time.sleep(0.01)
            raise stopped(request.told, 7)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)

status = process.execute(main, sys.argv)
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(status)
"""


@BY_SCHEDULERS
def test_once_a_run_was_told_nothing_that_schedulers_repeat_changes_its_status(number: int) -> None:
    status, errors = told(TOLD_WHILE_TAKING_STEPS, number)
    assert status == 75
    assert errors == (
        "\nstops after this step, with a checkpoint\ninterrupted at step 7; the same command goes on from there\n"
    )


def test_after_the_context_signals_are_what_they_were() -> None:
    before = [signal.getsignal(number) for number in signals.OF_SCHEDULERS]
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    with signals.ended_when_told():
        assert all(signals.ends_at_once(signal.getsignal(number)) for number in signals.OF_SCHEDULERS)
    assert [signal.getsignal(number) for number in signals.OF_SCHEDULERS] == before
    assert signal.set_wakeup_fd(wakeup) == wakeup


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with signals.ended_when_told():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
