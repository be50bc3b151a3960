"""Ctrl-C and SIGTERM end a run between two steps, with everything saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruption() -> Iterator[threading.Event]:
    """Yields an event that the first SIGINT or SIGTERM sets; the second one raises `KeyboardInterrupt` at once.

    Python's own handler raises wherever it happens to be, in a callback of JAX's too, where the exception is dropped
    and the run goes on.
    """
    requested = threading.Event()

    def request(number: int, frame: Any) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()
        os.write(2, b"\nstops after this step, with a checkpoint; once more to stop at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield requested  # only the main thread may handle signals
        return
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
