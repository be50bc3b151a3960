"""Starts several processes on this machine, and starts them again when they die.

    python launch/local.py --processes=2 -- python train.py --config=configs/digits.py --workdir=runs/digits

On one machine with several GPUs a single process that sees all of them is the usual way: `--processes=1`, which adds no
flags and only starts again. More are for trying out what runs on many machines, with or without GPUs: each process then
has the GPU of its number, unless JAX_LOCAL_DEVICE_IDS is set. Nothing but Python's own library is needed.

SIGTERM, SIGUSR1 and Ctrl-C are passed on to all. The exit status is 0 if all finished; 2 if one was given what it can't
work with, which no other start would mend; 75 or 130 if this launcher was told to stop, and they did; else that of the
first to die, 128 + number for a signal, once all restarts are used up. A process that SIGTERM or SIGUSR1 ended before
it could handle them was told to stop, too.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

FINISHED, USER_ERROR, TOLD_TO_STOP, CTRL_C = 0, 2, 75, 130
_OF_SCHEDULERS = (signal.SIGTERM, signal.SIGUSR1)
_POLL_SECONDS = 0.1


def main(argv: Sequence[str]) -> int:
    """Flags in; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, required=True, help="how many to start")
    parser.add_argument("--restarts", type=int, default=3, help="how often to start again after a death (3)")
    parser.add_argument(
        "--grace", type=float, default=90.0, help="seconds after a death in which the others may end by themselves (90)"
    )
    parser.add_argument("command", nargs="+", help="what to start, after --")
    flags = parser.parse_args(argv)
    if flags.processes < 1 or flags.restarts < 0 or flags.grace < 0:
        parser.error("--processes must be at least 1, --restarts and --grace at least 0")
    return supervise(flags.command, flags.processes, flags.restarts, flags.grace)


def supervise(command: Sequence[str], processes: int, restarts: int, grace_seconds: float) -> int:
    """Starts all, again and again where that helps; returns the exit status."""
    children: list[subprocess.Popen[bytes]] = []
    told: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        told.append(number)
        for child in children:
            child.send_signal(number)

    for number in (*_OF_SCHEDULERS, signal.SIGINT):
        signal.signal(number, pass_on)
    deaths = 0
    while True:
        start(command, processes, children, told)
        status = outcome(wait(children, grace_seconds), told)
        deaths += status != TOLD_TO_STOP
        if told or status in (FINISHED, USER_ERROR, CTRL_C):
            return status
        if deaths > restarts:
            text = f"died with status {status}, after {restarts} restarts (--restarts); ends. Why stands above"
            print(f"launch/local.py: {text}; the same command goes on from the newest checkpoint", file=sys.stderr)
            return status
        what = "told to stop, saved" if status == TOLD_TO_STOP else f"died with status {status}, {deaths} of {restarts}"
        print(f"launch/local.py: {what}; starts all again", file=sys.stderr, flush=True)


def start(command: Sequence[str], processes: int, children: list[subprocess.Popen[bytes]], told: Sequence[int]) -> None:
    """Replaces `children` by new ones, which find each other at a port of their own.

    Each has a session of its own: a terminal would otherwise send it the Ctrl-C that is passed on to it as well. After
    a signal no more are started; those that wait for the others have nothing to save, and end with it.
    """
    children.clear()
    place = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={processes}"]
    for index in range(processes):
        several = [*place, f"--process_id={index}"] if processes > 1 else []
        gpu = {"JAX_LOCAL_DEVICE_IDS": str(index)} if processes > 1 else {}
        if not told:
            environment = {**gpu, **os.environ}
            children.append(subprocess.Popen([*command, *several], env=environment, start_new_session=True))
            for number in told:  # it came just now
                children[-1].send_signal(number)


def free_port() -> int:
    """One that nobody listens to at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(children: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> list[int]:
    """Until all have ended; returns their statuses in the order in which they did.

    Once one has not finished, the others are killed after `grace_seconds`.
    """
    running, statuses, deadline = list(children), [], float("inf")
    while running:
        for child in list(running):
            if (status := child.poll()) is not None:
                running.remove(child)
                statuses.append(128 - status if status < 0 else status)
                if status != FINISHED:
                    deadline = min(deadline, time.monotonic() + grace_seconds)
            elif time.monotonic() > deadline:
                child.kill()
        time.sleep(_POLL_SECONDS if running else 0)
    return statuses


def outcome(statuses: Sequence[int], told: Sequence[int]) -> int:
    """One status for all of them, in the order in which they ended."""
    if told and not statuses:  # it came before any was started
        return CTRL_C if told[0] == signal.SIGINT else TOLD_TO_STOP
    ended_by = {128 + number: TOLD_TO_STOP for number in _OF_SCHEDULERS}
    meant = [ended_by.get(status, status) for status in statuses]
    for status in (USER_ERROR, CTRL_C, TOLD_TO_STOP):
        if status in meant:
            return status
    return next((status for status in meant if status != FINISHED), FINISHED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
