"""What a command sets for its whole process, before JAX is imported: which malloc it has.

XLA:CPU asks malloc for the memory of a step, and of many of its operations, each time anew. The C library of Linux
returns large blocks to the system, which must find, clear and map them again in every step, and its threads wait for
each other's locks. mimalloc, which `requirements-base.txt` installs, does neither (`benchmarks/README.md` has the
figures). It can only be loaded before anything else, so the command replaces itself, once, by the same command with
`LD_PRELOAD` set. The process then holds on to the most memory that it ever used. Processes that it starts inherit that,
and the flag is of no use there. Accelerators' memory is not concerned.

`--default_malloc` leaves malloc alone, as does any LD_PRELOAD, MALLOC_… or GLIBC_TUNABLES in the environment. Nothing
here runs when the package is imported as a library, or a command is called from one.
"""

import contextlib
import importlib.metadata
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mobilenet_v2 import signals

# The status of a command that was given what it can't work with, or had no room.
USER_ERROR = 2

# The flag, which `command_line.parse` knows as well, so that it is listed and misspellings are refused.
DEFAULT_MALLOC = "default_malloc"
_SWITCHED_ON = re.compile(rf"--?{DEFAULT_MALLOC}(=(true|t|1))?", re.IGNORECASE)
# Says that this process is the second one: what loads programs may take LD_PRELOAD out of the environment.
_RESTARTED = "MOBILENET_V2_RESTARTED"


def execute(command: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """`command_line.execute`, with JAX imported no earlier than here: signals are no errors in that second either."""
    with signals.ended_when_told():
        try:
            from mobilenet_v2 import command_line
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        status = command_line.execute(command, argv)
    if status == USER_ERROR:
        _hush()
    return status


def _hush() -> None:
    """Ends what is said, after the one line: on a full disk libraries have more to say at Python's very end."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def restart_on_fast_malloc() -> None:
    """Replaces this process by the same command on mimalloc, unless flag or environment say no.

    For the first line of a program: what has been read of the standard input is lost. The process keeps its number.
    Where the system does not let it, the command goes on as it is.
    """
    told = any(name.startswith((_RESTARTED, "LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if told or any(map(_SWITCHED_ON.fullmatch, sys.argv[1:])) or not sys.executable:
        return
    if variables := fast_malloc():
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            environment = {**variables, **os.environ, _RESTARTED: "1"}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def be_a_data_worker() -> None:
    """For the top of a program that is imported anew by each process that reads data for it: these need no JAX.

    Grain imports it where it can, and goes without where it can't: 90 MB and half a second instead of 220 MB and 0.9 s.
    """
    from absl import logging

    leave_signals_to_parent()
    logging.set_verbosity(logging.ERROR)  # Grain would warn that JAX is missing
    sys.modules.setdefault("jax", None)  # pyrefly: ignore (Python's own sign that a module can't be imported)


def leave_signals_to_parent() -> None:
    """Ctrl-C, and what schedulers send to all processes of a job, are for the process that started this one."""
    for number in signals.TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.TO_STOP)  # held back until now, perhaps


def start_others_from(path: str) -> None:
    """Makes `path` the program that processes which this one starts run first, as `__mp_main__`.

    multiprocessing would have them run the script that pip installs, and nothing after `python -m`: see
    `get_preparation_data` and `_fixup_main_from_name` in its `spawn.py`.
    """
    program: Any = sys.modules["__main__"]
    program.__spec__, program.__file__ = None, path


def cores() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fast_malloc() -> dict[str, str]:
    """Environment variables with which a process starts on mimalloc and keeps freed memory.

    Empty where it is not installed, or in a folder that LD_PRELOAD can't name, or the system is not Linux.
    """
    if sys.platform != "linux":
        return {}
    try:
        files = importlib.metadata.files("cmeel-mimalloc") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    for path in [str(file.locate()) for file in files if file.name == "libmimalloc.so"]:
        # The loader takes spaces and colons for the end of a name.
        if os.path.isfile(path) and not re.search(r"[\s:]", path):
            return {"LD_PRELOAD": path, "MIMALLOC_PURGE_DELAY": "-1"}
    return {}
