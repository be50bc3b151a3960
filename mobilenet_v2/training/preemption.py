"""Signals end a run between two steps, with everything saved: all of its processes at the same step.

SIGINT is a person's; SIGTERM and SIGUSR1 are what schedulers send before they take a machine back. The latter end the
command with status 75, upon which a launcher starts it again; before and after the steps, see `signals`.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

from mobilenet_v2 import signals
from mobilenet_v2.errors import Preempted
from mobilenet_v2.training.processes import agreed


class StopRequest:
    """What this process was told, and what all of them make of it."""

    def __init__(self, agree_every: int):
        self._agree_every = agree_every
        self.told = 0  # a signal's number, or 0
        self.insisted = False  # a second Ctrl-C, whose exception may have been dropped

    def at(self, step: int) -> int:
        """The signal upon which all processes stop after `step`, or 0; each calls it for every step.

        A process that is alone knows at once. Several ask each other every `agree_every` steps, because each time all
        wait for the slowest.

        Raises:
          KeyboardInterrupt: if Ctrl-C was said twice.
        """
        if self.insisted:
            raise KeyboardInterrupt
        if jax.process_count() == 1:
            return self.told
        if step % self._agree_every:
            return 0
        return int(np.max(multihost_utils.process_allgather(np.asarray(self.told))))


def stopped(number: int, step: int) -> BaseException:
    """What ends a run that was told to stop and is saved at `step`."""
    text = f"interrupted at step {step}; the same command goes on from there"
    return agreed(KeyboardInterrupt(text) if number == signal.SIGINT else Preempted(text))


@contextlib.contextmanager
def stop_request(agree_every: int = 1) -> Iterator[StopRequest]:
    """Yields what the first signal sets; a second SIGINT raises `KeyboardInterrupt` at once.

    Schedulers repeat themselves, so that another SIGTERM changes nothing, nor does it after the context, until the end
    of a process that is nothing but a command. Python's own handler of SIGINT raises wherever it happens to be, in a
    callback of JAX's too, where the exception is dropped and the run goes on.
    """
    request = StopRequest(agree_every)
    where = "after this step" if jax.process_count() == 1 else f"with all processes, within {agree_every} steps"

    def take(number: int, frame: FrameType | None) -> None:
        if request.told and number == signal.SIGINT:
            request.insisted = True
            raise KeyboardInterrupt
        if not request.told:
            request.told = number
            again = "; once more to stop at once" if number == signal.SIGINT else ""
            os.write(2, f"\nstops {where}, with a checkpoint{again}\n".encode())

    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may handle signals
        return
    previous = {number: signal.signal(number, take) for number in signals.TO_STOP}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            ignored = request.told in signals.OF_SCHEDULERS and signals.ends_at_once(handler)
            signal.signal(number, signal.SIG_IGN if ignored else handler)
