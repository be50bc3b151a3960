"""What a command sets for its whole process, before JAX is imported: how malloc treats freed memory.

XLA:CPU asks malloc for all memory of a step at once and frees it after the step. The C library of Linux returns
such blocks to the system, which must find, clear and map them again in every step: a fifth of a step's time at 64
pixels, more at 224. Told to keep what is freed, in one arena, because another thread frees it, it does nothing of
the kind. The process then holds on to the most memory that it ever used. Accelerators' memory is not concerned.

`--default_malloc` leaves malloc alone, as does any MALLOC_… variable or GLIBC_TUNABLES in the environment. Nothing
here runs when the package is imported as a library.
"""

import ctypes
import os
import re
from collections.abc import Callable, Sequence

# The flag, which `command_line.parse` knows as well, so that it is listed and misspellings are refused.
DEFAULT_MALLOC = "default_malloc"
_SWITCHED_ON = re.compile(rf"--?{DEFAULT_MALLOC}(=(true|t|1|yes|y))?", re.IGNORECASE)

# Parameters of mallopt(3), from glibc's malloc.h, and what each is set to.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_KEEP = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * 1024 * 1024), (_M_ARENA_MAX, 1))


def execute(command: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """`command_line.execute` in a process whose malloc keeps freed memory, unless flag or environment say no."""
    told = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if not told and not any(_SWITCHED_ON.fullmatch(argument) for argument in argv[1:]):
        keep_freed_memory()
    from mobilenet_v2 import command_line

    return command_line.execute(command, argv)


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to keep freed memory; returns whether there is such a malloc and it agreed."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc: macOS, musl, Windows
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _KEEP)
