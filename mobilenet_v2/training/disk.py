"""Files of a run that are written whole or not at all, and what a disk says instead, as one line."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

from mobilenet_v2.errors import TransientError, WorkdirError

# In what Python and TensorStore say of a disk that a person must do something about, and of one that may recover.
_LASTS = re.compile(
    "no space left on device|disk quota exceeded|read-only file system|permission denied|operation not permitted|"
    "file too large|no such file or directory",
    re.IGNORECASE,
)
_PASSES = re.compile("input/output error|stale file handle|connection timed out", re.IGNORECASE)


@contextlib.contextmanager
def told(workdir: pathlib.Path) -> Iterator[None]:
    """What the disk says within the context, which does nothing but write to `workdir`, becomes one line.

    Raises:
      WorkdirError: where something can't be written, because the disk is full, say.
      TransientError: if the disk may do it the next time.
    """
    try:
        yield
    except Exception as error:  # OSError, and what TensorStore makes of it
        lasts, passes = _LASTS.search(str(error)), _PASSES.search(str(error))
        said = lasts or passes
        if said is None:
            raise
        raise (WorkdirError if lasts else TransientError)(
            f"{str(workdir)!r} can't be written ({said[0]}); what was saved there is as it was, and the same command "
            "goes on from it"
        ) from error


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Whoever reads `path` finds the old text or the new one, never a part of it.

    Raises:
      WorkdirError, TransientError: if the disk does not take it.
    """
    temporary = path.with_name(path.name + ".tmp")
    with told(path.parent):
        with open(temporary, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
