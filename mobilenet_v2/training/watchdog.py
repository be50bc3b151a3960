"""A run that hangs ends itself, and says where it hung: a launcher can only start again what has ended."""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

EXIT_STATUS = 76
_BACKSTOP_SECONDS = 60.0


@contextlib.contextmanager
def watchdog(minutes: float) -> Iterator[Callable[[], None]]:
    """Yields what a run calls at every sign of progress.

    Where it is not called for `minutes`, the stack of every thread goes to stderr and the process ends with status 76.
    Where even this watch can't run, since a library that hangs holds on to Python, the system's timer does the same a
    minute later, with status 1. 0 minutes: nobody watches.
    """
    if not minutes:
        yield lambda: None
        return
    last, done = [time.monotonic()], threading.Event()

    def progress() -> None:
        last[0] = time.monotonic()

    thread = threading.Thread(target=_watch, args=(minutes, last, done), name="watchdog", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        done.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()


def _watch(minutes: float, last: list[float], done: threading.Event) -> None:
    seconds = 60 * minutes
    while True:
        faulthandler.dump_traceback_later(seconds + _BACKSTOP_SECONDS, exit=True, file=2)
        if done.wait(min(seconds / 10, 10)):
            return
        if time.monotonic() - last[0] > seconds:
            _give_up(minutes)


def _give_up(minutes: float) -> NoReturn:
    text = (
        f"error: no progress for {minutes:g} minutes (config.parallel.stall_minutes); ends with status {EXIT_STATUS}. "
    )
    sys.stdout.flush()
    os.write(2, f"\n{text}Where each thread is:\n".encode())
    faulthandler.dump_traceback(file=2, all_threads=True)
    os._exit(EXIT_STATUS)
