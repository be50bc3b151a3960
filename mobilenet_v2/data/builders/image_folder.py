"""TFDS builder of your own pictures: a folder, .tar or .zip with a folder a class. Bytes are kept as they are.

Every version of a folder is a data set of its own, `image_folder/NAME-DIGEST`, where DIGEST is of the names, sizes and
times of all pictures: where any of them changes, the next run prepares anew rather than read stale data. What was
prepared before stays until you remove it.

Pictures that were found readable are remembered until the folder is prepared (`verified.py`): after a stop, or where
one had to be mended, none of them is decoded again. They are read and written again: TFDS writes all or nothing.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds

from mobilenet_v2 import process
from mobilenet_v2.data.builders.verified import journal, journal_path
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.picture_files import Listing, list_files
from mobilenet_v2.data.picture_layout import Layout, read_layout
from mobilenet_v2.errors import DataError

UNREADABLE = "unreadable.txt"
_NAMED = 3  # unreadable files in an error


@dataclasses.dataclass
class FolderConfig(tfds.core.BuilderConfig):
    """One version of a folder."""

    name: str = ""
    description: str | None = None
    # TFDS logs a config whole.
    listing: Listing | None = dataclasses.field(default=None, repr=False)
    layout: Layout | None = dataclasses.field(default=None, repr=False)
    skip_unreadable: bool = False


def folder_config(folder: str, skip_unreadable: bool = False) -> FolderConfig:
    """Lists `folder` and sorts its pictures into splits and classes; reads none of them.

    Every start of a run does so: some 20,000 files a second of a local disk.

    Raises:
      DataError: as `list_files` and `read_layout`.
    """
    listing = list_files(folder)
    layout = read_layout(listing)
    digest = hashlib.sha256()
    for split, pictures in layout.splits.items():
        for name, label in pictures.items():
            line = f"{split} {layout.class_names[label]!r} {name!r} {listing.files[name]}\n"
            digest.update(line.encode())
    name = re.sub(r"[^\w.-]", "_", listing.root.resolve().name, flags=re.ASCII)
    return FolderConfig(
        name=f"{name}-{digest.hexdigest()[:12]}",
        description=f"Pictures of {listing.root.resolve().name!r}.".encode(errors="replace").decode(),
        listing=listing,
        layout=layout,
        skip_unreadable=skip_unreadable,
    )


class ImageFolder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Pictures with their classes, which are the names of their folders, and their own names."""

    VERSION = tfds.core.Version("1.0.0")
    builder_config: FolderConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pictures from a folder a class.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "label": tfds.features.ClassLabel(names=layout_of(self.builder_config).class_names),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        self._unreadable: list[str] = []
        splits = layout_of(self.builder_config).splits
        return {split: self._generate_examples(split, pictures) for split, pictures in splits.items()}

    def _generate_examples(self, split: str, pictures: dict[str, int]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        listing = _listing(self.builder_config)
        readable = 0
        path = journal_path(str(self.data_dir_root), listing)
        with listing.reader() as read, journal(path, listing) as (known, enter):
            for name, encoded in _checked(pictures, read, self._unreadable, known):
                readable += 1
                enter(name)
                key = name.encode("utf-8", "surrogateescape")
                yield key, {"image": encoded, "label": pictures[name], "file_name": key.decode("utf-8", "replace")}
        if not readable:
            raise DataError(f"split {split!r}: {_complaint(listing, self._unreadable)}")

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        super()._download_and_prepare(*args, **kwargs)
        if self._unreadable and not self.builder_config.skip_unreadable:
            raise DataError(_complaint(_listing(self.builder_config), self._unreadable))
        if self._unreadable:
            # Into the folder that TFDS renames once everything is written.
            pathlib.Path(self.data_dir, UNREADABLE).write_text("".join(f"{line}\n" for line in self._unreadable))

    def _post_download_and_prepare_hook(self) -> None:
        journal_path(str(self.data_dir_root), _listing(self.builder_config)).unlink(missing_ok=True)


def left_out(builder: ImageFolder) -> list[str]:
    """The pictures that the prepared data set lacks because they can't be read, with why.

    Raises:
      DataError: if there are some, and the config does not say that they may be left out.
    """
    path = pathlib.Path(builder.data_dir, UNREADABLE)
    unreadable = path.read_text().splitlines() if path.is_file() else []
    if unreadable and not builder.builder_config.skip_unreadable:
        raise DataError(_complaint(_listing(builder.builder_config), unreadable))
    return unreadable


def _complaint(listing: Listing, unreadable: list[str]) -> str:
    count = f"{len(unreadable)} picture{'s' if len(unreadable) > 1 else ''}"
    more = "; …" if len(unreadable) > _NAMED else ""
    return (
        f"{str(listing.root)!r} has {count} that can't be read: {'; '.join(unreadable[:_NAMED])}{more}. Mend or remove "
        "them, or leave them out with --config.data.skip_unreadable=True"
    )


def _listing(config: FolderConfig) -> Listing:
    assert config.listing is not None
    return config.listing


def layout_of(config: FolderConfig) -> Layout:
    """Which picture is of which split and class."""
    assert config.layout is not None
    return config.layout


def _checked(
    names: Iterable[str], read: Callable[[str], bytes], unreadable: list[str], known: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Yields what can be decoded, or is known to be, in order, and notes the rest; threads read ahead."""
    threads = process.cores()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        remaining = iter(names)
        waiting = collections.deque(
            (name, pool.submit(_read_one, read, name, name in known))
            for name in itertools.islice(remaining, 4 * threads)
        )
        while waiting:
            name, future = waiting.popleft()
            waiting.extend(
                (later, pool.submit(_read_one, read, later, later in known)) for later in itertools.islice(remaining, 1)
            )
            encoded, why = future.result()
            if encoded is None:
                unreadable.append(f"{name!r} ({why})")
            else:
                yield name, encoded


def _read_one(read: Callable[[str], bytes], name: str, known: bool) -> tuple[bytes | None, str]:
    try:
        encoded = read(name)
        if not known:
            decode(encoded, exif_orientation=True)
    except OSError as error:
        return None, error.strerror or str(error)
    except ValueError as error:
        return None, str(error)
    return encoded, ""
