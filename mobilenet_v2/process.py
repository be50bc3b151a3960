"""What a command sets for its whole process, before JAX is imported: which malloc it has.

XLA:CPU asks malloc for the memory of a step, and of many of its operations, each time anew. The C library of Linux
returns large blocks to the system, which must find, clear and map them again in every step, and its threads wait for
each other's locks: a seventh of a step's time on one core, a half on two. mimalloc, a library that `requirements.txt`
installs, does neither. It can only be loaded before anything else, so the command replaces itself, once, by the same
command with `LD_PRELOAD` set. The process then holds on to the most memory that it ever used. Accelerators' memory is
not concerned.

`--default_malloc` leaves malloc alone, as does any LD_PRELOAD, MALLOC_… or GLIBC_TUNABLES in the environment. Nothing
here runs when the package is imported as a library.
"""

import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Sequence

# The flag, which `command_line.parse` knows as well, so that it is listed and misspellings are refused.
DEFAULT_MALLOC = "default_malloc"
_SWITCHED_ON = re.compile(rf"--?{DEFAULT_MALLOC}(=(true|t|1|yes|y))?", re.IGNORECASE)


def execute(command: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """`command_line.execute` in a process with a fast malloc, unless flag or environment say no."""
    told = any(name.startswith(("LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    variables = fast_malloc()
    # Where JAX is imported, this is not the start of a command: a test, say, or a notebook.
    if variables and not told and "jax" not in sys.modules and not any(map(_SWITCHED_ON.fullmatch, argv[1:])):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**variables, **os.environ})
    from mobilenet_v2 import command_line

    return command_line.execute(command, argv)


def fast_malloc() -> dict[str, str]:
    """Environment variables with which a process starts on mimalloc and keeps freed memory.

    None where it is not installed or the system is not Linux.
    """
    if sys.platform != "linux":
        return {}
    try:
        files = importlib.metadata.files("cmeel-mimalloc") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    libraries = [file.locate() for file in files if file.name == "libmimalloc.so"]
    return {"LD_PRELOAD": str(libraries[0]), "MIMALLOC_PURGE_DELAY": "-1"} if libraries else {}
