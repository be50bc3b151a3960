"""Runs of a sweep on this machine, one after the other or several at once."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from mobilenet_v2 import signals
from mobilenet_v2.ablation import command, failure, machine_share
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.errors import Preempted
from mobilenet_v2.training import run_directory

# None: a run that an earlier command left behind, which is no child of this one.
_Process = subprocess.Popen[bytes] | None
_Slots = dict[int, tuple[Run, _Process] | None]

_POLL_SECONDS = 0.1
# What a finished run keeps beside these is a few kilobytes.
_LARGE = ("checkpoints", "tensorboard")


def run_all(
    runs: Sequence[Run], base: Sequence[str], jobs: int, report: Callable[[Run, bool], None], only_results: bool = False
) -> list[Run]:
    """Trains each run in a process of its own, `jobs` at a time; returns those that failed.

    Each job has its share of this process's cores, and of CUDA_VISIBLE_DEVICES where that is set. A run that fails
    leaves its last lines in `run.error` and does not stop the others. SIGTERM, SIGUSR1 and Ctrl-C are passed on: what
    runs saves its state and ends, no more is started, and the same command goes on. What outlived an earlier command
    is one of the jobs until it ends.

    Args:
      report: is told each run that ended, and whether it finished.
      only_results: remove the checkpoints of those that finished.

    Raises:
      Preempted, KeyboardInterrupt: if a signal said to stop.
    """
    waiting, failed = list(runs), []
    slots: _Slots = dict.fromkeys(range(jobs))
    with _passing_on_signals(slots) as told:
        while any(slots.values()) or (waiting and not told):
            for slot, busy in slots.items():
                if busy is not None and (status := _ended(*busy, bool(told))) is not None:
                    slots[slot], (run, process) = None, busy
                    finished = _settle(run, status, bool(told) or process is None, only_results)
                    failing = not finished and process is not None and not told
                    if failing and _outlived(run):
                        slots[slot] = (run, None)
                    elif finished or failing:
                        failed += [run] if failing else []
                        report(run, finished)
                    elif process is None:
                        waiting.insert(0, run)
                if slots[slot] is None and waiting and not told:
                    slots[slot] = (waiting[0], _start(waiting.pop(0), base, slot, jobs))
            time.sleep(_POLL_SECONDS)
    if told:
        left = sum(run.result is None for run in runs)
        text = f"interrupted, {len(runs) - left} runs finished, {left} not; the same command goes on from there"
        raise KeyboardInterrupt(text) if told[0] == signal.SIGINT else Preempted(text)
    return failed


@contextlib.contextmanager
def _passing_on_signals(slots: _Slots) -> Iterator[list[int]]:
    """Yields the signals that were told, which the runs in `slots` get as well; at the end none of these is left."""
    told: list[int] = []

    def processes() -> list[subprocess.Popen[bytes]]:
        return [busy[1] for busy in slots.values() if busy is not None and busy[1] is not None]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes():
            process.send_signal(number)
        if not told:
            os.write(2, f"\nstops: {len(processes())} runs save a checkpoint; once more to stop at once\n".encode())
        told.append(number)

    previous = {number: signal.signal(number, pass_on) for number in signals.TO_STOP}
    try:
        yield told
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for process in processes():
            process.kill()


def _ended(run: Run, process: _Process, told: bool) -> int | None:
    """The status of a run's process once it has one; of one that is not ours 0, which says nothing."""
    if process is not None:
        return process.poll()
    return 0 if told or run_directory.holder(run.folder) is None else None


def _outlived(run: Run) -> bool:
    """Whether an earlier command's process is at it, which is told."""
    other = run_directory.holder(run.folder)
    if other is not None:
        print(f"{run.name}: under way already, by {other}; waits for it", flush=True)
    return other is not None


def _start(run: Run, base: Sequence[str], slot: int, jobs: int) -> _Process:
    """A process in a session of its own: a terminal would send it the Ctrl-C that is passed on to it as well."""
    if _outlived(run):
        return None
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    run.error.unlink(missing_ok=True)  # of an earlier start
    with open(run.log, "ab") as log:
        return machine_share.start(
            command.as_process(run, base),
            slot,
            jobs,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _settle(run: Run, status: int, told: bool, only_results: bool) -> bool:
    """Notes how a run ended; returns whether it finished."""
    if run.result is not None:
        run.error.unlink(missing_ok=True)
        if only_results:
            for name in _LARGE:
                shutil.rmtree(run.folder / name, ignore_errors=True)
            (run.folder / ".lock").unlink(missing_ok=True)
        return True
    if not told:
        failure.note(run.error, status, run.log)
    return False
