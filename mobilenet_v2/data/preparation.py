"""Preparing a TFDS data set once, whoever asks: one process at a time, all or nothing, without TFDS's chatter."""

import contextlib
import fcntl
import io
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from mobilenet_v2.errors import DataError

FORMAT = "array_record"
_FAILURES = (OSError, tfds.download.DownloadError, NonMatchingChecksumError)


def prepared(make_builder: Callable[[], Any], manual_dir: str | None = None) -> Any:
    """The builder that `make_builder()` makes, prepared: at once if that has been done before.

    TFDS writes into a folder of another name and renames it at the end, so that a preparation that was killed is never
    taken for complete; what it left is removed by the next one of the same data set. On a terminal TFDS shows bars.

    Args:
      manual_dir: where files lie that can't be downloaded; None is `downloads/manual` of the data folder.

    Raises:
      DataError: what went wrong, in one line.
      ImportError, TFDS's ExtractError: if it can't be done without TensorFlow, which is not installed.
    """
    builder = make_builder()
    if builder.is_prepared():
        return builder
    root = pathlib.Path(builder.data_dir_root)
    try:
        with _lock(root):
            builder = make_builder()  # It may have been prepared by the one that was waited for.
            if not builder.is_prepared():
                _remove_leftovers(root / builder.name)
                with _quiet():
                    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
                    builder.download_and_prepare(download_config=config)
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"data set {builder.name!r} can't be prepared in {root}: {reason}") from error
    finally:
        # Where it failed, TFDS has removed its own folder, and leaves those above it.
        for folder in (builder.data_path.parent, root / builder.name):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the dozen lines that TFDS prints; its bars, which vanish, stay where a person sees them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if not sys.stderr.isatty():
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """One process of this machine at a time: TFDS lets two preparations of a data set trip over each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that prepares a data set in {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(folder: pathlib.Path) -> None:
    """Of preparations that were killed: `incomplete.…`, beside a version or a config's version.

    A `tfds build` of the same data set knows nothing of our lock, and would lose its own.
    """
    for pattern in ("incomplete.*", "*/incomplete.*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
