"""Archives: fetched, or said to be out of reach; and read, or said to be damaged."""

import contextlib
import os
import pathlib
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import tensorflow_datasets as tfds

_SECONDS = 20.0  # to wait for a server's first word


def download(dl_manager: tfds.download.DownloadManager, url: str) -> str:
    """Path of the file at `url`: put into the manual folder by hand, downloaded before, or downloaded now.

    Raises:
      OSError: if the server can't be reached; TFDS alone would go on trying for a quarter of an hour.
    """
    manual = f"{dl_manager._manual_dir}/{url.rsplit('/', 1)[1]}"
    # TFDS puts one beside every finished download; it says of which URL.
    notes = pathlib.Path(str(dl_manager.download_dir)).glob("*/*.INFO")
    if not os.path.exists(manual) and not any(url in note.read_text() for note in notes):
        import requests

        try:
            requests.head(url, timeout=_SECONDS, allow_redirects=True)
        except requests.RequestException as error:
            raise OSError(
                f"{url} can't be reached; download it elsewhere and put it at {manual} ({type(error).__name__})"
            ) from error
    return str(dl_manager.download(url))


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
