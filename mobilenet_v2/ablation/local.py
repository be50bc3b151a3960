"""Runs of a sweep on this machine, one after the other or several at once."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from mobilenet_v2 import signals
from mobilenet_v2.ablation import command, failure
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.errors import Preempted

_POLL_SECONDS = 0.1
# What a finished run keeps beside these is a few kilobytes.
_LARGE = ("checkpoints", "tensorboard")


def run_all(
    runs: Sequence[Run], base: Sequence[str], jobs: int, report: Callable[[Run, bool], None], only_results: bool = False
) -> list[Run]:
    """Trains each run in a process of its own, `jobs` at a time; returns those that failed.

    Each job has its share of this process's cores, and of CUDA_VISIBLE_DEVICES where that is set. A run that fails
    leaves its last lines in `run.error` and does not stop the others. SIGTERM, SIGUSR1 and Ctrl-C are passed on: what
    runs saves its state and ends, no more is started, and the same command goes on.

    Args:
      report: is told each run that ended, and whether it finished.
      only_results: remove the checkpoints of those that finished.

    Raises:
      Preempted, KeyboardInterrupt: if a signal said to stop.
    """
    waiting, failed, told = list(runs), [], []
    slots: dict[int, tuple[Run, subprocess.Popen[bytes]] | None] = dict.fromkeys(range(jobs))

    def pass_on(number: int, frame: FrameType | None) -> None:
        told.append(number)
        for _, process in filter(None, slots.values()):
            process.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in signals.TO_STOP}
    try:
        while any(slots.values()) or (waiting and not told):
            for slot, busy in slots.items():
                if busy is not None and busy[1].poll() is not None:
                    slots[slot] = None
                    finished = _settle(busy[0], busy[1].returncode, bool(told), only_results)
                    failed += [] if finished or told else [busy[0]]
                    report(busy[0], finished)
                if slots[slot] is None and waiting and not told:
                    slots[slot] = (waiting[0], _start(waiting.pop(0), base, slot, jobs))
            time.sleep(_POLL_SECONDS)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for _, process in filter(None, slots.values()):
            process.kill()
    if told:
        text = f"interrupted, {len(waiting)} runs not begun; the same command goes on from there"
        raise KeyboardInterrupt(text) if told[0] == signal.SIGINT else Preempted(text)
    return failed


def _start(run: Run, base: Sequence[str], slot: int, jobs: int) -> subprocess.Popen[bytes]:
    """A process in a session of its own: a terminal would send it the Ctrl-C that is passed on to it as well."""
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    run.error.unlink(missing_ok=True)  # of an earlier start
    environment = dict(os.environ)
    if visible := environment.get("CUDA_VISIBLE_DEVICES"):
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(_share(visible.split(","), slot, jobs))
    with open(run.log, "ab") as log:
        process = subprocess.Popen(
            command.as_process(run, base),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, _share(sorted(os.sched_getaffinity(0)), slot, jobs))
    return process


def _share(things: Sequence[Any], slot: int, jobs: int) -> list[Any]:
    """What the slot has of things that all slots share; where there are fewer than slots, several have the same."""
    return list(things[slot::jobs]) or [things[slot % len(things)]]


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
