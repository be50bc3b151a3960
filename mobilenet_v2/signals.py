"""What schedulers send before they take a machine back: SIGTERM or SIGUSR1, at any moment, and more than once.

A command that is taking no steps has nothing to save, and ends at once with the status upon which a launcher starts it
again. `training.preemption` takes the signals over while a run takes steps.
"""

import contextlib
import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

TOLD_TO_STOP = 75  # EX_TEMPFAIL of sysexits.h
OF_SCHEDULERS = (signal.SIGTERM, signal.SIGUSR1)
TO_STOP = (signal.SIGINT, *OF_SCHEDULERS)  # Ctrl-C, too


@contextlib.contextmanager
def ended_when_told() -> Iterator[None]:
    """While the context lasts, either signal ends this process with `TOLD_TO_STOP`, unless another handler is set.

    Python calls a handler once the main thread is back from whatever library it is in: after minutes, where it compiles
    or waits for other processes. So a thread listens beside it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    handler = functools.partial(_end, threading.Lock())
    previous = {number: signal.signal(number, handler) for number in OF_SCHEDULERS}
    arriving, leaving = socket.socketpair()
    leaving.setblocking(False)
    others = signal.set_wakeup_fd(leaving.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(arriving, handler), name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(others)
        leaving.close()
        for number, before in previous.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, before)


def ends_at_once(handler: Any) -> bool:
    """Whether it is the handler of a process that is nothing but a command, as `ended_when_told` sets it."""
    return getattr(handler, "func", None) is _end


def _listen(arriving: socket.socket, handler: functools.partial[None]) -> None:
    """Python's part in C writes each signal's number to the other end, wherever the main thread is."""
    with arriving:
        while number := arriving.recv(1):
            if signal.getsignal(number[0]) is handler:
                handler(number[0], None)


def _end(once: threading.Lock, number: int, frame: FrameType | None) -> None:
    if once.acquire(blocking=False):  # both threads may be here
        name = signal.Signals(number).name
        os.write(2, f"\ntold to stop ({name}), with nothing to save; the same command starts again\n".encode())
        os._exit(TOLD_TO_STOP)
