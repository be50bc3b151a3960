"""Several processes as one program: how they find each other, act together, and end together.

On a CPU with Gloo, a peer that is gone shows at once, as an error of the collective that waits for it; elsewhere after
`config.parallel.heartbeat_seconds`, when JAX's coordination service ends this process.
"""

import contextlib
import dataclasses
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from mobilenet_v2 import command_line
from mobilenet_v2.errors import ConfigError, PeerError, UserError

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

# What process 0 leaves the others to say what happened to them.
_LAST_WORDS_SECONDS = 2.0
# How long processes wait for each other at the start; then JAX ends them with SIGABRT, and a launcher starts all again.
_JOIN_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Place:
    """Which process this is. All None: JAX finds it out from the cluster that started it.

    Attributes:
      coordinator: HOST:PORT of process 0, which any of the others must reach.
      num_processes: how many there are.
      process_id: 0 … num_processes − 1.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def find_place(
    coordinator: str | None,
    num_processes: str | None,
    process_id: str | None,
    distributed: bool,
    environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """What flags, or the environment that a cluster sets, say of this process; None: it is the only one.

    Raises:
      ConfigError: if one of the three flags is missing or no number.
    """
    told = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    missing = [name for name, value in told.items() if value is None]
    if not missing:
        return _explicit(str(coordinator), str(num_processes), str(process_id))
    if len(missing) < len(told):
        raise ConfigError(
            f"flag --{missing[0]} is missing; --coordinator, --num_processes and --process_id go together"
        )
    return Place() if distributed or _in_a_cluster(environment) else None


def _explicit(coordinator: str, num_processes: str, process_id: str) -> Place:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--coordinator is {coordinator!r}, must be HOST:PORT of process 0")
    count = command_line.integer("num_processes", num_processes, 100_000)
    assert count is not None  # it was given
    if not process_id.isdecimal() or int(process_id) >= count:
        raise ConfigError(f"--process_id is {process_id!r}, must be an integer in 0 … {count - 1}")
    return Place(coordinator, count, int(process_id))


def _in_a_cluster(environment: Mapping[str, str]) -> bool:
    """Whether Slurm, Open MPI, Kubernetes or a TPU pod started several of these, by what JAX itself looks for."""

    def several(name: str) -> bool:
        return environment.get(name, "").isdecimal() and int(environment[name]) > 1

    slurm = several("SLURM_NTASKS") and "SLURM_PROCID" in environment and "SLURM_STEP_NODELIST" in environment
    open_mpi = several("OMPI_COMM_WORLD_SIZE")
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    tpu = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    return slurm or open_mpi or kubernetes or tpu


@contextlib.contextmanager
def joined(place: Place | None, heartbeat_seconds: int) -> Iterator[None]:
    """One of several processes while the context lasts. Nothing happens where `place` is None.

    An exception ends the process at once, after its message: at Python's ordinary end it would wait for the others,
    which wait for it in a step.

    Raises:
      ConfigError: if no cluster is found.
    """
    if place is None:
        yield
        return
    _connect(place, heartbeat_seconds)
    try:
        yield
    except BaseException as error:
        if not getattr(error, "agreed", False):
            _end(error)
        jax.distributed.shutdown()
        if is_first():
            raise
        raise SystemExit(getattr(error, "exit_status", 130)) from None  # one of them is enough to say it
    jax.distributed.shutdown()


def agreed(error: E) -> E:
    """Marks what all processes raise at the same place, so that they may end in order."""
    error.agreed = True  # pyrefly: ignore (an attribute of this instance alone)
    return error


def _connect(place: Place, heartbeat_seconds: int) -> None:
    # SIGTERM is for `preemption`: this service would swallow it, and tell no process that does not ask.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            initialization_timeout=_JOIN_SECONDS,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=heartbeat_seconds,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        what = "--distributed found no cluster" if place == Place() else f"coordinator {place.coordinator} not reached"
        raise ConfigError(
            f"{what} ({reason}); must be started by Slurm, Open MPI, Kubernetes or on a TPU pod, or with "
            "--coordinator=HOST:PORT --num_processes=N --process_id=I"
        ) from error


def _end(error: BaseException) -> NoReturn:
    """Says what happened, and ends this process without waiting for the others."""
    who = f"process {jax.process_index()} of {jax.process_count()}"
    if isinstance(error, UserError | PeerError):
        print(f"error: {who}: {' '.join(str(error).split())}", file=sys.stderr)
    elif not isinstance(error, KeyboardInterrupt | SystemExit):
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
