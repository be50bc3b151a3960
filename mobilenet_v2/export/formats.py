"""The files that a network can be exported as: what each is called, needs, and is written and read by."""

import dataclasses
import importlib
import importlib.util
import pathlib
from typing import Any

from mobilenet_v2.errors import ConfigError, nearest

_STABLEHLO = ("flatbuffers",)  # of jax.export, by which the network itself is timed, too
_ONNX = (*_STABLEHLO, "onnx", "jax2onnx", "onnxruntime")
_TFLITE = (*_STABLEHLO, "tensorflow", "ai_edge_litert")


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      module: of this package, with `write(path, inference, calibration)` and `load(path)`.
      suffix: of its files' names.
      calibrated: whether pictures must show which values occur.
      needs: packages that the installation may lack.
      extra: of this package's own, which installs them.
    """

    module: str
    suffix: str
    calibrated: bool = False
    needs: tuple[str, ...] = ()
    extra: str = ""

    def code(self) -> Any:
        """The module, imported."""
        return importlib.import_module(f"mobilenet_v2.export.{self.module}")


FORMATS = {
    "stablehlo": Format("stablehlo", ".stablehlo", needs=_STABLEHLO, extra="export"),
    "onnx": Format("onnx_file", ".onnx", needs=_ONNX, extra="export"),
    "onnx_int8": Format("onnx_int8", ".onnx", calibrated=True, needs=_ONNX, extra="export"),
    "tflite": Format("tflite_file", ".tflite", needs=_TFLITE, extra="tflite"),
    "tflite_int8": Format("tflite_file", ".tflite", calibrated=True, needs=_TFLITE, extra="tflite"),
}


def find_format(name: str) -> Format:
    """The format of this name, for which all is installed.

    Raises:
      ConfigError: if there is none, or it needs what is not there.
    """
    if name not in FORMATS:
        raise ConfigError(f"--format is {name!r}, must be one of {', '.join(FORMATS)}{nearest(name, FORMATS)}")
    found = FORMATS[name]
    missing = [package for package in found.needs if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"--format={name} needs {', '.join(missing)}, not installed here: pip install '.[{found.extra}]' in this "
            "repository"
        )
    return found


def check_output(path: pathlib.Path, name: str) -> list[pathlib.Path]:
    """The files that an export writes: itself, and what describes it.

    Raises:
      ConfigError: if one is there already, or can't be written.
    """
    suffix, files = FORMATS[name].suffix, [path, path.with_name(f"{path.name}.json")]
    if path.suffix != suffix:
        raise ConfigError(f"--output is {str(path)!r}, must end in {suffix} for --format={name}")
    for file in files:
        if file.exists() or file.is_symlink():
            raise ConfigError(f"--output: {str(file)!r} exists, must be a new file: remove it, or name another")
    try:
        part_of(path).touch()
        part_of(path).unlink()
    except OSError as error:
        raise ConfigError(f"--output {str(path)!r} can't be written: {error.strerror}") from error
    return files


def part_of(path: pathlib.Path) -> pathlib.Path:
    """Where a file is written to before it has its name."""
    return path.with_name(f".{path.name}.part")
