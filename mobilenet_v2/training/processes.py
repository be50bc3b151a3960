"""Several processes as one program: how they meet, act together, and end together.

A process that is gone shows to the others at once, by `peers`; one that hangs, or whose machine is gone, after
`config.parallel.heartbeat_seconds`, when JAX's coordination service ends this process.
"""

import contextlib
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from mobilenet_v2.errors import ConfigError, PeerError, UserError
from mobilenet_v2.training import peers
from mobilenet_v2.training.cluster import Place
from mobilenet_v2.training.watchdog import EXIT_STATUS

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

# What process 0 leaves the others to say what happened to them.
_LAST_WORDS_SECONDS = 2.0
# Within which it shows that an error here is but what another process's end looks like.
_VERDICT_SECONDS = 1.0
# After which JAX would end those that wait for others, by a stack of C++: later than we do.
_LATER_SECONDS = 600


@contextlib.contextmanager
def joined(place: Place | None, parallel: ConfigDict) -> Iterator[None]:
    """One of several processes while the context lasts. Nothing happens where `place` is None.

    An exception ends the process at once, after its message: at Python's ordinary end it would wait for the others,
    which wait for it in a step. So does the end of another process. Both, and others that do not come within
    `parallel.join_seconds`, are the end of all, with a status upon which a launcher starts them again.

    Raises:
      ConfigError: if no cluster is found.
    """
    if place is None:
        yield
        return
    _connect(place, parallel)
    leave: peers.Leave = lambda in_order: None  # noqa: E731 (until it is known how)
    try:
        leave = peers.watch(
            jax.process_index(), jax.process_count(), _host(place), first_of, parallel.heartbeat_seconds
        )
        yield
    except BaseException as error:
        if not getattr(error, "agreed", False):
            _end(error, leave)
        leave(True)
        jax.distributed.shutdown()
        if is_first():
            raise
        raise SystemExit(getattr(error, "exit_status", 130)) from None  # one of them is enough to say it
    leave(True)
    jax.distributed.shutdown()


def agreed(error: E) -> E:
    """Marks what all processes raise at the same place, so that they may end in order."""
    error.agreed = True  # pyrefly: ignore (an attribute of this instance alone)
    return error


def _connect(place: Place, parallel: ConfigDict) -> None:
    # SIGTERM is for `preemption`: this service would swallow it, and tell no process that does not ask.
    jax.config.update("jax_enable_preemption_service", False)
    patience = threading.Timer(parallel.join_seconds, _wait_no_longer, (place, parallel.join_seconds))
    patience.daemon = True
    patience.start()
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            initialization_timeout=parallel.join_seconds + _LATER_SECONDS,
            heartbeat_timeout_seconds=parallel.heartbeat_seconds,
            shutdown_timeout_seconds=parallel.heartbeat_seconds,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        what = "--distributed found no cluster" if place == Place() else f"coordinator {place.coordinator} not reached"
        raise ConfigError(
            f"{what} ({reason}); must be started by Slurm, Open MPI, Kubernetes or on a TPU pod, or with "
            "--coordinator=HOST:PORT --num_processes=N --process_id=I"
        ) from error
    finally:
        patience.cancel()


def _wait_no_longer(place: Place, seconds: int) -> NoReturn:
    """Beside the main thread, which is in JAX's library meanwhile."""
    who = "this process" if place == Place() else f"process {place.process_id} of {place.num_processes}"
    where = place.coordinator or distributed.global_state.coordinator_address or "an address unknown"
    text = f"error: {who} has waited {seconds} seconds (config.parallel.join_seconds) for the others; "
    rest = f"ends with status {EXIT_STATUS}. All must be started, and reach process 0 at {where}"
    os.write(2, f"\n{text}{rest}\n".encode())
    os._exit(EXIT_STATUS)


def _host(place: Place) -> str | None:
    """Where process 0 is, by what the others have reached it; JAX has no public name for what a cluster told it."""
    address = place.coordinator or distributed.global_state.coordinator_address
    return None if address is None else address.rpartition(":")[0].strip("[]")


def _end(error: BaseException, leave: peers.Leave) -> NoReturn:
    """Says what happened, and ends this process without waiting for the others."""
    who = f"process {jax.process_index()} of {jax.process_count()}"
    if isinstance(error, UserError | PeerError):
        leave(False)
        print(f"error: {who}: {' '.join(str(error).split())}", file=sys.stderr)
    elif not isinstance(error, KeyboardInterrupt | SystemExit):
        time.sleep(_VERDICT_SECONDS)
        leave(False)
        traceback.print_exception(error)
        print(
            f"error: {who} ends with this, perhaps because another process ended before. Start all of them again: they "
            "go on from the newest checkpoint",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
        time.sleep(_LAST_WORDS_SECONDS)  # with this process the others end too, in the middle of such a line perhaps
    os._exit(130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_status", 1))


def is_first() -> bool:
    """Whether this is the process that writes and tells."""
    return jax.process_index() == 0


def together(work: Callable[[], T]) -> T:
    """Does `work` in every process, and waits for all; where it failed in one, it fails in all.

    Raises:
      UserError: the first process's error, if any process had one, named by the process where there are several.
      PeerError: if another process failed by what is no error of the user's.
    """
    if jax.process_count() == 1:
        return work()
    result, error = None, None
    try:
        result = work()
    except Exception as caught:
        error = caught
    _raise_first(error)
    return result  # pyrefly: ignore (work() returned it)


def _raise_first(error: Exception | None) -> None:
    found: list[Exception] = [pickle.loads(text) for text in gather_bytes(_pickled(error)) if text]
    if not found:
        return
    if error is not None and not isinstance(error, UserError):
        raise error
    bugs = [other for other in found if isinstance(other, PeerError)]
    raise bugs[0] if bugs else agreed(found[0])


def _pickled(error: Exception | None) -> bytes:
    if error is None:
        return b""
    if isinstance(error, UserError):
        return pickle.dumps(type(error)(str(error)))
    return pickle.dumps(PeerError(f"process {jax.process_index()} failed: {type(error).__name__}: {error}"))


def gather_bytes(text: bytes) -> list[bytes]:
    """Every process's `text`, in the order of processes."""
    lengths = multihost_utils.process_allgather(np.asarray(len(text)))
    longest = max(int(np.max(lengths)), 1)
    padded = np.zeros(longest, np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(padded)).reshape(-1, longest)
    return [row[: int(length)].tobytes() for row, length in zip(rows, np.ravel(lengths), strict=True)]


def first_of(value: Any) -> Any:
    """What process 0 has for `value`, in all of them."""
    return pickle.loads(gather_bytes(pickle.dumps(value if is_first() else None))[0])
