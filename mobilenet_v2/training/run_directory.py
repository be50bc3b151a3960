"""The run directory: config, environment, metrics, checkpoints, and a result that exists iff the run finished."""

import contextlib
import datetime
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from mobilenet_v2 import config as config_lib
from mobilenet_v2.errors import ConfigError, WorkdirError
from mobilenet_v2.training.disk import write_atomically

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets", "numpy")

_LOCK = ".lock"
_CLASSES = "classes.json"
_DATA = "data.json"

# Fields that decide how fast a run is, and nothing that it computes.
FREE = tuple(
    f"{name}:"
    for name in (
        "data.num_threads",
        "data.num_workers",
        "data.cache",
        "parallel.agree_every",
        "parallel.join_seconds",
        "parallel.heartbeat_seconds",
        "parallel.stall_minutes",
    )
)


class Described(NamedTuple):
    """A data set: its classes' names by label, its prepared copy's name, and how many examples each use has."""

    class_names: tuple[str, ...]
    name: str
    examples: dict[str, int]


def check(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Makes sure, without writing, that a run of `config` may start or go on in `workdir`.

    Raises:
      WorkdirError: if `workdir` is no folder, can't be written, holds files but no run, or holds a run of another
        config; the fields that differ are named. How the data are read ahead may differ.
    """
    try:
        _check(workdir, config)
    except OSError as error:
        raise WorkdirError(f"workdir {str(workdir)!r} can't be used: {error.strerror}") from error


def _check(workdir: pathlib.Path, config: ConfigDict) -> None:
    nearest = next(folder for folder in (workdir, *workdir.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise WorkdirError(f"workdir {str(workdir)!r} can't be used: {str(nearest)!r} is a file, must be a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise WorkdirError(f"workdir {str(workdir)!r} can't be used: {str(nearest)!r} is not writable")
    # A start that was killed at its very beginning leaves a temporary file.
    if nearest is not workdir or all(path.suffix == ".tmp" or path.name == _LOCK for path in workdir.iterdir()):
        return
    if not (workdir / "config.json").exists():
        raise WorkdirError(f"workdir {str(workdir)!r} holds files but no config.json; must be new, empty, or a run's")
    told = config_lib.differences(read_config(workdir), config)
    differing = [text for text in told if not text.startswith(FREE)]
    if differing:
        raise WorkdirError(
            f"workdir {str(workdir)!r} holds a run of another config ({'; '.join(differing)}); "
            "use another workdir, or the config of that run"
        )


def create(workdir: pathlib.Path, config: ConfigDict, started_from: dict[str, Any] | None = None) -> None:
    """Writes `config.json`; adds this start, and what it started from, to `environment.json`."""
    write_atomically(workdir / "config.json", config_lib.to_json(config))
    path = workdir / "environment.json"
    starts = _read_json(path) if path.exists() else []
    start = _environment() | ({} if started_from is None else {"started_from": started_from})
    write_atomically(path, json.dumps([*starts, start], indent=2) + "\n")


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps `workdir`, which is made where there is none, from other runs while the context lasts.

    The system lets go of it when this process ends, however it does. Where files have no locks nobody is kept out.

    Raises:
      WorkdirError: if another run has it, or it can't be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = open(workdir / _LOCK, "a+")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise WorkdirError(f"workdir {str(workdir)!r} can't be used: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise WorkdirError(
                f"workdir {str(workdir)!r} is in use by {file.read().strip() or 'another run'}; use another "
                "workdir, or wait for its end"
            ) from error
        except OSError:
            pass  # no locks here
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def holder(workdir: pathlib.Path) -> str | None:
    """Which process has `workdir`, as `hold` says it; None if none has, or files have no locks here."""
    try:
        with open(workdir / _LOCK) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another run"
    except OSError:
        pass
    return None


def read_config(workdir: pathlib.Path) -> ConfigDict:
    """The config of the run in `workdir`.

    Raises:
      WorkdirError: if there is none, or its file is damaged.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise WorkdirError(f"workdir {str(workdir)!r} holds no run: {str(path)!r} does not exist")
    try:
        return config_lib.from_json(path.read_text())
    except (ConfigError, UnicodeDecodeError, OSError) as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error


def read_class_names(workdir: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names by label; none where the run has kept none.

    Raises:
      WorkdirError: if the file is damaged.
    """
    path = pathlib.Path(workdir) / _CLASSES
    return tuple(_read_json(path)) if path.exists() else ()


def check_data(workdir: pathlib.Path, data: Described) -> str | None:
    """Makes sure, without writing, that a data set is still the one that the run in `workdir` began with.

    Where the run has kept nothing of it, any will do.

    Returns:
      What to tell, if classes and numbers are those of then and the copy is another.

    Raises:
      WorkdirError: if classes or numbers differ.
    """
    path = workdir / _DATA
    if not path.exists():
        return None
    before = Described(read_class_names(workdir), **_read_json(path))
    told = [f"new class {name!r}" for name in data.class_names if name not in before.class_names]
    told += [f"no class {name!r}" for name in before.class_names if name not in data.class_names]
    if not told and before.class_names != data.class_names:
        told = ["other order of classes"]
    told += [
        f"{use}: {before.examples.get(use, 0)} → {n} examples"
        for use, n in data.examples.items()
        if n != before.examples.get(use)
    ]
    if told:
        raise WorkdirError(
            f"the data set is not the one that the run in {str(workdir)!r} began with ({', '.join(told)}); put it back "
            f"as it was, or start a run in another workdir, from these weights by --config.init_from={workdir}"
        )
    if before.name != data.name:
        return f"warning: data set {data.name}, but the run began with {before.name}: files or their times have changed"
    return None


def write_data(workdir: pathlib.Path, data: Described) -> None:
    """Keeps what `check_data` compares; the classes' names in a file of their own, for predictions without the data."""
    write_atomically(workdir / _CLASSES, json.dumps(list(data.class_names), ensure_ascii=False, indent=0) + "\n")
    write_atomically(workdir / _DATA, json.dumps({"name": data.name, "examples": data.examples}, indent=2) + "\n")


def read_result(workdir: pathlib.Path) -> dict[str, Any] | None:
    """`result.json`, or None while the run is not finished."""
    path = workdir / "result.json"
    return _read_json(path) if path.exists() else None


def write_result(workdir: pathlib.Path, result: dict[str, Any]) -> None:
    """Declares the run finished."""
    write_atomically(workdir / "result.json", json.dumps(result, indent=2) + "\n")


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error


def _environment() -> dict[str, Any]:
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": ["python", *sys.orig_argv[1:]],  # as it was typed
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "host": platform.node(),
        "processes": jax.process_count(),
        "devices": [str(device.device_kind) for device in jax.devices()],
        "git_commit": _git_commit(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _git_commit() -> str | None:
    """Commit of the source tree, with `+` where files differ from it; None outside a repository."""
    tree = pathlib.Path(__file__).parent
    try:
        describe = ["git", "-C", str(tree), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
