"""Which format a file has, told from its content; its name says nothing that must be believed."""

import pathlib
import zipfile
from typing import NamedTuple

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights import safetensors_file, sorted_table, tensor_bundle, torch_file
from mobilenet_v2.weights.arrays import Arrays

FORMATS = "safetensors, PyTorch .pth, Keras .h5 or .keras, TensorFlow checkpoint"
_IN_FOLDER = ("*.safetensors", "*.keras", "*.h5", "*.pth", "*.index")


class Contents(NamedTuple):
    """What a file holds: its `format`, arrays by their names there, safetensors' metadata; and all files read."""

    path: pathlib.Path
    format: str
    arrays: Arrays
    metadata: dict[str, str]
    files: tuple[pathlib.Path, ...]


def read_file(name: str | pathlib.Path) -> Contents:
    """Reads a weight file of any format without running anything that it holds.

    `name` may be a file; a folder with one such file; or a TensorFlow checkpoint's prefix, `model.ckpt-7`.

    Raises:
      WeightsError: one line that says what was expected and what was found.
    """
    path = _locate(pathlib.Path(name))
    with path.open("rb") as file:
        start = file.read(16)
    metadata: dict[str, str] = {}
    kind = _format(path, start)
    if kind == "safetensors":
        arrays, metadata = safetensors_file.read(path)
    elif kind == "keras":
        # Imported here, because HDF5 takes a tenth of a second of every run that reads no such file.
        from mobilenet_v2.weights import keras_file

        arrays = keras_file.read(path)
    else:
        arrays = {"torch": torch_file.read, "tensorflow": tensor_bundle.read}[kind](path)
    if not arrays:
        raise WeightsError(f"{path.name!r} is a {kind} file without any array of weights")
    data = tensor_bundle.data_files(path) if kind == "tensorflow" else []
    return Contents(path, kind, arrays, metadata, (path, *data))


def _locate(path: pathlib.Path) -> pathlib.Path:
    """The file that `path` means."""
    index = path.with_name(f"{path.name}.index")
    if path.is_dir():
        found = [file for pattern in _IN_FOLDER for file in sorted(path.glob(pattern))]
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise WeightsError(
                f"weights {str(path)!r} is a folder, must hold one weight file, found {names}, or be a run's folder, "
                "with config.json and checkpoints/"
            )
        return found[0]
    if ".data-" in path.name and path.is_file():
        named = path.with_name(path.name.split(".data-")[0] + ".index")
        if not named.is_file():
            raise WeightsError(f"checkpoint data {path.name!r} needs {named.name!r} beside it, which is not there")
        return named
    if not path.is_file() and index.is_file():
        return index
    if not path.is_file():
        raise WeightsError(f"weights {str(path)!r} is no file, must be a file of {FORMATS}, or a hub's OWNER/NAME")
    return path


def _format(path: pathlib.Path, start: bytes) -> str:
    if not start:
        raise WeightsError(f"{path.name!r} is empty, must be a file of {FORMATS}")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    # Its header's length comes first, whose bytes may be another format's: a plausible one is believed.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8:
        return "safetensors"
    if start.startswith(b"PK\x03\x04"):
        return _archive(path)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"  # a bare pickle, as torch wrote before 1.6
    if start[8:9] == b"{":
        return "safetensors"
    with path.open("rb") as file:
        file.seek(-min(48, path.stat().st_size), 2)
        if sorted_table.is_table(file.read()):
            return "tensorflow"
    raise WeightsError(f"{path.name!r} starts with {start[:8]!r}, must be a file of {FORMATS}")


def _archive(path: pathlib.Path) -> str:
    """A zip file is Keras's or PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path.name!r} is no whole zip archive, as .keras and .pth files are: {error}") from error
    if "model.weights.h5" in names:
        return "keras"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "torch"
    raise WeightsError(f"{path.name!r} is a zip archive of neither Keras nor PyTorch, must be a file of {FORMATS}")
