"""Tar archives that say their name when they are damaged."""

import contextlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any


@contextlib.contextmanager
def open_tar(path: str | os.PathLike[str], mode: str, file: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """`tarfile.open`, of `file` where one is given.

    Raises:
      OSError: with `path`, if it is no archive, or it turns out within the block that it is cut short or damaged.
    """
    kind: Any = mode
    try:
        with tarfile.open(path, kind, fileobj=file) as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise OSError(f"{os.fspath(path)} can't be read: {error}") from error


def read_member(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    """Contents of a file in an archive; raises OSError if there is none of that name, or it is none."""
    name = member if isinstance(member, str) else member.name
    try:
        file = tar.extractfile(member)
    except KeyError:
        file = None
    if file is None:
        raise OSError(f"{os.fspath(tar.name or '')} holds no file {name}")
    return file.read()
