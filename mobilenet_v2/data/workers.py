"""Batches out of Grain's threads and worker processes: how they start, fail and end."""

import contextlib
import gc
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
from collections.abc import Generator, Iterator
from multiprocessing import resource_tracker
from typing import Any

import grain.python as grain
import numpy as np
from absl import flags
from grain._src.python.ipc.shared_memory_array import SharedMemoryArray

from mobilenet_v2 import process, signals
from mobilenet_v2.errors import TransientError


def read(batches: grain.IterDataset) -> Generator[dict[str, Any], None, None]:
    """Iterates, and ends what reads ahead when it ends itself, is closed, or fails.

    Raises:
      TransientError: if a worker process was killed.
    """
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain asks for flags of its own when it starts a worker
    with signals_held():
        iterator = iter(batches)
    at_exit = multiprocessing.util.Finalize(None, _kill_workers, exitpriority=0)
    starting = signals_held()  # the first batch has all workers started
    try:
        while True:
            try:
                with starting:
                    batch = _in_own_memory(next(iterator))
                starting = contextlib.nullcontext()
            except StopIteration:
                return
            except RuntimeError as error:
                if "terminated unexpectedly" not in str(error):
                    raise
                raise TransientError(
                    f"a process that reads data was killed, for want of memory perhaps: {error}"
                ) from error
            yield batch
    finally:
        # Grain closes only workers that it has drawn from. To tell its state it draws on all that it has started.
        iterator.get_state()
        iterator.close()
        at_exit.cancel()
        # What each worker gave last is held by the iterator, in a circle, and freed by a thread that Python's end would
        # stop.
        pool = SharedMemoryArray._del_thread_pool
        if pool is not None:
            del iterator
            gc.collect()
            pool.apply(int)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Keeps from processes that this thread starts meanwhile the signals that they will leave to this one.

    A scheduler's, sent to all processes of a job, would end a worker that has not come to `start_worker` yet. This
    process gets its own by another thread, or a moment later.
    """
    resource_tracker.ensure_running()  # which lets signals through again when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.TO_STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_own_memory(batch: dict[str, Any]) -> dict[str, Any]:
    """Copies what is shared with a worker: if it were kept until Python ends, it would be told of as leaked."""
    return {name: rows if type(rows) is np.ndarray else np.array(rows) for name, rows in batch.items()}


def start_worker(index: int, count: int) -> None:
    """What a worker process does first: it leaves signals to the process that started it, and ends when that does.

    Schedulers send theirs to all processes of a job, and the first of them still has batches to read before it stops.
    """
    del index, count
    process.leave_signals_to_parent()
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _kill_workers() -> None:
    """At Python's end, for a reader that was not closed: multiprocessing would wait for them after a SIGTERM."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
