"""A journal of the pictures that were found readable, so that a preparation which was stopped decodes none twice.

A line a picture: name, size, and time or checksum. A line that a kill cut short matches none: its picture is decoded
again. Pictures that can't be read are not entered, so that one that was mended is looked at anew.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Callable, Iterator

from mobilenet_v2.data.picture_files import Listing


def journal_path(data_dir_root: str, listing: Listing) -> pathlib.Path:
    """Where the journal of a folder or archive lies: hidden in the data folder, whatever else of it changes."""
    digest = hashlib.sha256(str(listing.root.resolve()).encode("utf-8", "surrogateescape"))
    return pathlib.Path(data_dir_root, f".image_folder-{digest.hexdigest()[:12]}.verified")


@contextlib.contextmanager
def journal(path: pathlib.Path, listing: Listing) -> Iterator[tuple[frozenset[str], Callable[[str], None]]]:
    """(names found readable before and unchanged since, a function that enters another; for one thread)."""

    def line(name: str) -> str:
        return f"{name!a} {listing.files[name]}\n"

    found = set(path.read_text("ascii", "replace").splitlines(keepends=True)) if path.is_file() else set()
    known = frozenset(name for name in listing.files if found and line(name) in found)
    # A line at a time: what the system was given outlives the process.
    with open(path, "a", buffering=1, encoding="ascii") as file:
        if found:
            file.write("\n")  # ends a line that was cut short

        def enter(name: str) -> None:
            if name not in known:
                file.write(line(name))

        yield known, enter
