"""Which images of a split can't be decoded. Their rows have mask 0, so that no worker need tell of them."""

import contextlib
import sys
from collections.abc import Generator
from typing import Any

import numpy as np

from mobilenet_v2.data.decode import decode
from mobilenet_v2.errors import DataError

Batches = Generator[dict[str, Any], None, None]

_NAMED = 5
# So many from the start, and none of them readable, are no accident.
_HOPELESS = 100
# Where data sets of TFDS keep what a person knows an image by.
_NAMES = ("file_name", "filename", "image/filename", "image/file_name", "id", "image/id", "image_id")


class Unreadable:
    """Names the first few unreadable images of a split on stderr, each once, however often it is read."""

    def __init__(self, split: str):
        self._split = split
        self._seen: set[int] = set()

    def watch(self, batches: Batches, indices: Any, source: Any) -> Batches:
        """The same batches, which are looked at as they pass.

        Args:
          batches: of {"mask": float32 [B] or [replicas, B], …} in host memory; closed when this is.
          indices: the records of `source` behind row after row of them, by position; those past its end are none.

        Raises:
          DataError: if none of the images at the start can be decoded.
        """
        rows = readable = unreadable = 0
        with contextlib.closing(batches):
            for batch in batches:
                mask = np.asarray(batch["mask"]).reshape(-1)
                bad = [indices[rows + row] for row in np.flatnonzero(mask == 0).tolist()]
                bad = [index for index in bad if index < len(source)]
                rows, readable, unreadable = rows + len(mask), readable + int(mask.sum()), unreadable + len(bad)
                for index in dict.fromkeys(bad):
                    self.tell(index, source)
                if not readable and unreadable >= min(_HOPELESS, len(source)):
                    raise DataError(
                        f"none of the first {unreadable} images of split {self._split!r} can be decoded; the last was "
                        f"{describe(source, bad[-1])}"
                    )
                yield batch

    def tell(self, index: int, source: Any) -> None:
        """Names one record of `source`, if it was not named before and few were."""
        if index in self._seen or len(self._seen) > _NAMED:
            return
        self._seen.add(index)
        if len(self._seen) > _NAMED:
            text = f"more images of split {self._split!r} can't be decoded; they are counted, but not named"
        else:
            text = f"left out of split {self._split!r}: {describe(source, index)}"
        print(text, file=sys.stderr)


def describe(source: Any, index: int) -> str:
    """A record's place in its split, its name where it has one, and why its image can't be decoded."""
    record = source[index]
    names = [record[field] for field in _NAMES if record.get(field) is not None]
    name = f" ({names[0].decode(errors='replace') if isinstance(names[0], bytes) else names[0]})" if names else ""
    try:
        decode(record["image"])
    except ValueError as error:
        return f"record {index}{name}: {error}"
    return f"record {index}{name}"
