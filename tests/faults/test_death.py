"""Processes that are killed, told to stop, or fail; the run is started again and must end as if nothing had been."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from mobilenet_v2.training.watchdog import EXIT_STATUS
from tests import run_processes
from tests.run_directories import assert_bit_equal, steps_taken

pytestmark = pytest.mark.faults


def saves(workdir: pathlib.Path) -> bool:
    return any(workdir.glob("checkpoints/*.orbax-checkpoint-tmp"))


@pytest.mark.parametrize("case", range(20))
def test_killed_at_any_moment_a_run_ends_as_if_it_had_not_been(
    case: int, overrides: list[str], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    draw = random.Random()
    moment, delay = draw.randrange(0, 150), draw.uniform(0, 0.02)
    started = run_processes.start(tmp_path / "cut", overrides)
    run_processes.wait_for(lambda: steps_taken(tmp_path / "cut") >= moment, started)
    if case % 2:  # in the middle of a save
        run_processes.wait_for(lambda: saves(tmp_path / "cut"), started)
    time.sleep(delay)
    started[0].kill()
    assert run_processes.finish(started)[0] == [-signal.SIGKILL], (moment, delay)
    run_processes.run(tmp_path / "cut", overrides)
    assert_bit_equal(tmp_path / "cut", whole)


def told_to_stop(
    workdir: pathlib.Path,
    overrides: list[str],
    tell: Callable[[list[subprocess.Popen[str]]], None],
    *,
    processes: int = 1,
    step: int = 20,
) -> list[str]:
    """Its errors, of a run that is told in the middle, and all of whose processes ask to be started again."""
    started = run_processes.start(workdir, overrides, processes=processes)
    run_processes.wait_for(lambda: steps_taken(workdir) >= step, started)
    tell(started)
    statuses, _, errors = run_processes.finish(started)
    assert statuses == [75] * processes, errors
    return errors


@pytest.mark.parametrize("case", range(6))
def test_told_to_stop_a_run_saves_and_asks_to_be_started_again(
    case: int, overrides: list[str], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    number = signal.SIGTERM if case else signal.SIGUSR1
    moment = random.Random().randrange(1, 120)
    errors = told_to_stop(tmp_path / "cut", overrides, lambda started: started[0].send_signal(number), step=moment)
    assert "the same command goes on from there" in errors[0]
    run_processes.run(tmp_path / "cut", overrides)
    assert_bit_equal(tmp_path / "cut", whole)


@pytest.mark.parametrize("case", range(4))
def test_told_again_and_again_until_it_ends_a_run_saves_all_the_same(
    case: int, overrides: list[str], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def tell(started: list[subprocess.Popen[str]]) -> None:
        while started[0].poll() is None:
            started[0].send_signal(random.Random().choice((signal.SIGTERM, signal.SIGUSR1)))
            time.sleep(0.003)

    told_to_stop(tmp_path / "cut", overrides, tell, step=20 * case + 1)
    run_processes.run(tmp_path / "cut", overrides)
    assert_bit_equal(tmp_path / "cut", whole)


@pytest.mark.parametrize("case", range(8))
def test_told_at_any_moment_of_its_start_a_run_asks_to_be_started_again(
    case: int, overrides: list[str], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    started = run_processes.start(tmp_path / "cut", overrides)
    moment = time.monotonic() + 0.5 + random.Random().uniform(0, 1.5) * case
    # A fast machine is in the middle by then, where a run that has taken its last step would end with 0.
    run_processes.wait_for(lambda: time.monotonic() >= moment or steps_taken(tmp_path / "cut") >= 100, started)
    started[0].send_signal(signal.SIGTERM)
    statuses, _, errors = run_processes.finish(started)
    # Python itself takes a moment to start, in which nobody handles a signal yet; launchers know that status, too.
    assert statuses in ([75], [-signal.SIGTERM] if case == 0 else [75]), errors
    run_processes.run(tmp_path / "cut", overrides)
    assert_bit_equal(tmp_path / "cut", whole)


def test_told_to_stop_with_all_its_data_workers_a_run_goes_on_as_if_it_had_not_been(
    overrides: list[str], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workers = [*overrides, "--config.data.num_workers=2"]
    # As Slurm and Kubernetes do.
    told_to_stop(tmp_path / "cut", workers, lambda started: os.killpg(started[0].pid, signal.SIGTERM))
    run_processes.run(tmp_path / "cut", workers)
    assert_bit_equal(tmp_path / "cut", whole)


@pytest.mark.parametrize("told", [0, 1])
def test_one_of_two_told_to_stop_both_save_the_same_step(
    told: int, overrides: list[str], whole_of_two: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    told_to_stop(tmp_path / "cut", overrides, lambda started: started[told].send_signal(signal.SIGTERM), processes=2)
    run_processes.run(tmp_path / "cut", overrides, processes=2)
    assert_bit_equal(tmp_path / "cut", whole_of_two)


def test_two_that_share_the_parameters_save_them_whole_and_go_on(overrides: list[str], tmp_path: pathlib.Path) -> None:
    split = [*overrides, "--config.parallel.parameters=fsdp"]
    run_processes.run(tmp_path / "whole", split, processes=2)
    told_to_stop(tmp_path / "cut", split, lambda started: started[1].send_signal(signal.SIGTERM), processes=2)
    run_processes.run(tmp_path / "cut", split, processes=2)
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("case", range(4))
def test_one_of_two_killed_the_other_ends_soon_and_both_go_on_when_started_again(
    case: int, overrides: list[str], whole_of_two: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    killed = case % 2
    moment = random.Random().randrange(1, 120)
    started = run_processes.start(tmp_path / "cut", overrides, processes=2)
    run_processes.wait_for(lambda: steps_taken(tmp_path / "cut") >= moment, started)
    started[killed].kill()
    begin = time.monotonic()
    statuses, _, errors = run_processes.finish(started)
    # Heartbeats of 10 seconds, and what an overloaded machine adds.
    assert time.monotonic() - begin < 40
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] == EXIT_STATUS
    assert f"error: process {1 - killed} of 2: process {killed} has ended before the run" in errors[1 - killed]
    assert "stack trace" not in errors[1 - killed]
    run_processes.run(tmp_path / "cut", overrides, processes=2)
    assert_bit_equal(tmp_path / "cut", whole_of_two)


FAILS_IN_THE_SECOND = """
import sys
import jax, train
from mobilenet_v2 import process
from mobilenet_v2.training import loop

enter = loop.Ledger.enter

def enter_or_fail(self, step, sums):
    if step == 50 and jax.process_index() == 1:
        raise OSError("the network file system is gone")
    enter(self, step, sums)

loop.Ledger.enter = enter_or_fail
sys.exit(process.execute(train.main, sys.argv))
"""


def test_an_exception_in_one_of_two_ends_both_and_both_go_on_when_started_again(
    overrides: list[str], whole_of_two: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    place = [f"--coordinator=127.0.0.1:{run_processes.free_port()}", "--num_processes=2"]
    command = [sys.executable, "-c", FAILS_IN_THE_SECOND, "--config=tests/tiny.py", f"--workdir={tmp_path / 'cut'}"]
    begin = time.monotonic()
    statuses, _, errors = run_processes.finish(
        [
            subprocess.Popen(
                [*command, *overrides, *place, f"--process_id={index}"],
                cwd=run_processes.REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]
    )
    assert time.monotonic() - begin < 120
    assert statuses[1] == 1
    assert "OSError: the network file system is gone" in errors[1]
    assert statuses[0] == EXIT_STATUS
    run_processes.run(tmp_path / "cut", overrides, processes=2)
    assert_bit_equal(tmp_path / "cut", whole_of_two)
