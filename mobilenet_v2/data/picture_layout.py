"""Names of files to labelled splits: which picture is of which class, and on which side of the split."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from mobilenet_v2.data.picture_files import Listing
from mobilenet_v2.errors import DataError

VALIDATION_SHARE = 0.2

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_READ = "jpg jpeg jpe jfif png webp bmp gif tif tiff jp2 avif pbm pgm ppm pnm"
# Plainly pictures that our decoder does not read: they are named as unreadable rather than left out in silence.
_NOT_READ = "heic heif jxl psd svg raw cr2 nef dng arw"
_PICTURES = frozenset(f".{ending}" for ending in f"{_READ} {_NOT_READ}".split())
_Parts = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Labelled pictures.

    Attributes:
      splits: by split, the label of each picture by its name in the listing.
      class_names: sorted; a label is an index into them.
      other_files: names of what is no picture, by its ending.
    """

    splits: dict[str, dict[str, int]]
    class_names: tuple[str, ...]
    other_files: tuple[str, ...]


def is_picture(name: str | pathlib.PurePath) -> bool:
    """Whether a file is a picture by its ending."""
    return pathlib.PurePosixPath(name).suffix.lower() in _PICTURES


def read_layout(listing: Listing) -> Layout:
    """Pictures of `class/…`, or of `train/class/…`, `validation/class/…` and, perhaps, `test/class/…`.

    `training`, `val`, `valid` and `testing` are such names, too, in capitals as well. Where nothing is named so, a
    fifth of the training pictures is set aside for validation: those whose class and name hash low, so that a picture
    stays on its side when others come or go. A class all of whose pictures would be set aside keeps them. Folders
    within a class belong to it. A single folder that holds all the rest is looked into.

    Raises:
      DataError: for a picture outside a class's folder, a class without pictures or without training pictures, two
        classes whose names differ by case alone, two folders for a split, a split's folder without pictures, a name
        that can't be written to a file, or no picture at all.
    """
    where = str(listing.root)
    pictures = [name for name in listing.files if is_picture(name)]
    if not pictures:
        raise DataError(f"{where!r} holds no picture, such as class/name.jpg, among {len(listing.files)} files")
    top = _common_folder(pictures, listing.folders)
    relative = {name: tuple(name.removeprefix(top).split("/")) for name in pictures}
    in_splits = _are_splits({parts[0] for parts in relative.values()}) or any(
        _split_of(parts[0]) == "train" and len(parts) > 2 for parts in relative.values()
    )
    if in_splits:
        _check_splits(relative.values(), listing.folders, top, where)
    assigned = _assign(relative, in_splits, where)
    if "validation" not in assigned:
        assigned["train"], assigned["validation"] = _set_aside(assigned.get("train", {}), where)
    classes = sorted({below[0] for pictures_of in assigned.values() for below in pictures_of.values()})
    _check_names(classes, where)
    _check_classes(assigned, classes, _class_folders(listing.folders, top, in_splits), where)
    labels = {name: label for label, name in enumerate(classes)}
    splits = {
        split: {picture: labels[below[0]] for picture, below in assigned[split].items()}
        for split in ("train", "validation", "test")
        if split in assigned
    }
    return Layout(splits, tuple(classes), tuple(sorted(listing.files.keys() - set(pictures))))


def _split_of(folder: str) -> str | None:
    return _SPLITS.get(folder.casefold())


def _are_splits(folders: Iterable[str]) -> bool:
    return all(_split_of(folder) for folder in folders)


def _check_splits(pictures: Iterable[_Parts], folders: Iterable[str], top: str, where: str) -> None:
    filled = {parts[0] for parts in pictures}
    below_top = {name.removeprefix(top) for name in folders if name.startswith(top)}
    seen: dict[str, str] = {}
    for name in sorted(name for name in {*filled, *below_top} if "/" not in name):
        split = _split_of(name)
        if split is not None and split in seen:
            raise DataError(f"{where!r} has {seen[split]!r} and {name!r}, which are both the {split} split: keep one")
        if split is not None and name not in filled:
            raise DataError(f"{where!r} has a folder {name!r} without pictures: fill it or remove it")
        seen |= {split: name} if split is not None else {}


def _common_folder(pictures: Sequence[str], folders: Iterable[str]) -> str:
    """What all names begin with, a slash at its end; neither a split's folder nor a class's."""
    top, folders = "", list(folders)
    while True:
        heads = {name.removeprefix(top).split("/")[0] for name in (*pictures, *folders) if name.startswith(top)}
        deep = all(name.removeprefix(top).count("/") >= 2 for name in pictures)
        if len(heads) > 1 or _are_splits(heads) or not deep:
            return top
        top += f"{heads.pop()}/"


def _assign(relative: Mapping[str, _Parts], in_splits: bool, where: str) -> dict[str, dict[str, _Parts]]:
    """Each split's pictures, with the parts of their names from the class on."""
    assigned: dict[str, dict[str, _Parts]] = collections.defaultdict(dict)
    for name, parts in relative.items():
        split, below = (_split_of(parts[0]), parts[1:]) if in_splits else ("train", parts)
        if split is None:
            raise DataError(f"{where!r} has {name!r} beside the folder 'train', must be in train, validation or test")
        if len(below) < 2:
            inside = "/".join([*parts[:-1], "CLASS", parts[-1]])
            raise DataError(f"{where!r} has {name!r} in no class's folder, must be as {inside}")
        assigned[split][name] = below
    return dict(assigned)


def _set_aside(pictures: Mapping[str, _Parts], where: str) -> tuple[dict[str, _Parts], dict[str, _Parts]]:
    """(train, validation)."""
    low = {name for name, below in pictures.items() if _hash("/".join(below)) < VALIDATION_SHARE}
    kept = {below[0] for name, below in pictures.items() if name not in low}
    validation = {name: below for name, below in pictures.items() if name in low and below[0] in kept}
    if not validation:
        raise DataError(
            f"{where!r} has {len(pictures)} training pictures, too few to set some aside; sort them into the folders "
            "'train' and 'validation'"
        )
    return {name: below for name, below in pictures.items() if name not in validation}, validation


def _hash(text: str) -> float:
    """In [0, 1), evenly."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64


def _class_folders(folders: Iterable[str], top: str, in_splits: bool) -> set[str]:
    """`class` of `top/train/class`, or of `top/class`."""
    relative = [name.removeprefix(top).split("/") for name in folders if name.startswith(top)]
    if in_splits:
        return {parts[1] for parts in relative if len(parts) == 2 and _split_of(parts[0])}
    return {parts[0] for parts in relative if len(parts) == 1}


def _check_names(classes: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for name in classes:
        # TFDS writes a name a line, and strips it when it reads.
        if name != name.strip() or not name.isprintable():
            raise DataError(f"{where!r} has a class {name!r}, must be printable, without spaces at its ends")
        if name.casefold() in seen:
            raise DataError(f"{where!r} has classes {seen[name.casefold()]!r} and {name!r}, which differ by case alone")
        seen[name.casefold()] = name


def _check_classes(
    assigned: Mapping[str, Mapping[str, _Parts]], classes: Sequence[str], folders: set[str], where: str
) -> None:
    if empty := sorted(folders - set(classes)):
        raise DataError(f"{where!r} has a class {empty[0]!r} without pictures: fill the folder or remove it")
    if len(classes) < 2:
        raise DataError(f"{where!r} has one class, {classes[0]!r}, must have two or more")
    trained = {below[0] for below in assigned.get("train", {}).values()}
    if untrained := [name for name in classes if name not in trained]:
        raise DataError(f"{where!r} has no training pictures of class {untrained[0]!r}, which is in another split")
