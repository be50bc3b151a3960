"""The files below a folder, or in a .tar or .zip: their names, and their bytes in any order from any thread."""

import contextlib
import dataclasses
import os
import pathlib
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from mobilenet_v2.errors import DataError

_LINKS = 32  # of an archive, one to the next, before they are taken for a circle
# Left by file managers and archivers; not a word is said of them, nor of what begins with a dot.
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder or archive holds, hidden files and litter left out.

    Attributes:
      files: what tells one version of a file from the next (its size, and the time it was changed or its checksum),
        by its name relative to the top, with slashes.
      folders: likewise relative, those without a file as well.
      root: the folder or archive.
    """

    root: pathlib.Path
    files: dict[str, tuple[int, int]]
    folders: frozenset[str]

    @contextlib.contextmanager
    def reader(self) -> Iterator[Callable[[str], bytes]]:
        """A function of a file's name that returns its bytes; threads may share it. It raises OSError."""
        if self.root.is_dir():
            yield lambda name: (self.root / name).read_bytes()
        elif zipfile.is_zipfile(self.root):
            with zipfile.ZipFile(self.root) as archive:
                members = {_clean(member.filename): member for member in archive.infolist()}
                yield lambda name: _from_zip(archive, members[name])
        else:
            with tarfile.open(self.root, "r:") as archive, open(self.root, "rb") as file:
                found = _members(archive)
                spans = {
                    name: (member.size, member.offset_data) for name, member in found.items() if member is not None
                }
                yield lambda name: _from_tar(file.fileno(), spans, name)


def list_files(path: str | os.PathLike[str]) -> Listing:
    """Lists a folder, following links; or an archive, without unpacking it.

    Raises:
      DataError: if there is none, it can't be read, or is neither a folder nor an uncompressed .tar nor a .zip.
    """
    root = pathlib.Path(path).expanduser()
    try:
        if root.is_dir():
            files, folders = _list_folder(root)
        elif zipfile.is_zipfile(root):
            files, folders = _list_zip(root)
        else:
            files, folders = _list_tar(root)
    except FileNotFoundError as error:
        raise DataError(
            f"config.data.folder is {str(path)!r}, which does not exist; yours is --config.data.folder=PATH"
        ) from error
    except tarfile.ReadError as error:
        raise DataError(
            f"config.data.folder is {str(path)!r}, must be a folder, a .zip, or a .tar that is not compressed ({error})"
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"config.data.folder is {str(path)!r}, which can't be read: {error}") from error
    return Listing(root, {name: files[name] for name in sorted(files)}, frozenset(folders))


def _list_folder(root: pathlib.Path) -> tuple[dict[str, tuple[int, int]], set[str]]:
    files: dict[str, tuple[int, int]] = {}
    folders: set[str] = set()
    top = os.stat(root)
    # Folders to read, each with the identities of those above it: a link back to one of them would have no end.
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset({(top.st_dev, top.st_ino)}))]
    while waiting:
        folder, above = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if _is_litter(name):
                    continue
                found = _stat(entry)
                if found is None:
                    files[name] = (0, 0)  # A link to nothing: it is told of where it is read.
                elif stat.S_ISREG(found.st_mode):
                    # What may not be read is told of where it is read, and is another version once it may.
                    size = found.st_size if os.access(entry.path, os.R_OK) else -1
                    files[name] = (size, found.st_mtime_ns)
                elif not stat.S_ISDIR(found.st_mode):
                    pass  # a pipe or a device: to read one could take for ever
                elif (found.st_dev, found.st_ino) not in above:
                    folders.add(name)
                    waiting.append((name, above | {(found.st_dev, found.st_ino)}))
    return files, folders


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _list_zip(root: pathlib.Path) -> tuple[dict[str, tuple[int, int]], set[str]]:
    with zipfile.ZipFile(root) as archive:
        members = archive.infolist()
    files = {_clean(member.filename): (member.file_size, member.CRC) for member in members if not member.is_dir()}
    return _without_litter(files, (_clean(member.filename) for member in members if member.is_dir()))


def _list_tar(root: pathlib.Path) -> tuple[dict[str, tuple[int, int]], set[str]]:
    with tarfile.open(root, "r:") as archive:
        found, members = _members(archive), archive.getmembers()
    files = {name: (0, 0) if one is None else (one.size, int(one.mtime)) for name, one in found.items()}
    return _without_litter(files, (_clean(member.name) for member in members if member.isdir()))


def _members(archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo | None]:
    """Each file by name; a link as the file that it leads to, None where that is not in the archive.

    Raises:
      DataError: for a link to a folder.
    """
    by_name = {_clean(member.name): member for member in archive.getmembers()}
    files: dict[str, tarfile.TarInfo | None] = {}
    for name, member in by_name.items():
        target: tarfile.TarInfo | None = member
        for _ in range(_LINKS):
            if target is None or not (target.islnk() or target.issym()):
                break
            beside = posixpath.dirname(_clean(target.name)) if target.issym() else ""
            target = by_name.get(posixpath.normpath(posixpath.join(beside, target.linkname)))
        if target is not None and target.isdir() and not member.isdir():
            raise DataError(
                f"{archive.name!r} has {name!r}, a link to a folder: unpack the archive and name its folder"
            )
        if target is None or target.isfile():
            files[name] = target
    return files


def _without_litter(files: dict[str, Any], folders: Iterator[str]) -> tuple[dict[str, Any], set[str]]:
    kept = {name: value for name, value in files.items() if not _is_litter(name)}
    parents = {str(parent) for name in kept for parent in pathlib.PurePosixPath(name).parents}
    return kept, {name for name in {*folders, *parents} if name != "." and not _is_litter(name)}


def _clean(name: str) -> str:
    return str(pathlib.PurePosixPath(name))


def _is_litter(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in _LITTER for part in name.split("/"))


def _from_tar(file: int, spans: dict[str, tuple[int, int]], name: str) -> bytes:
    if name not in spans:
        raise OSError("it is a link to what is not in the archive")
    return os.pread(file, *spans[name])


def _from_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:  # damaged, or with a password
        raise OSError(str(error)) from error
