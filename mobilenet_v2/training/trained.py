"""What a run has trained, as a network and its variables: its newest checkpoint, averaged where the run averages."""

import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.training import checkpoint, run_directory
from mobilenet_v2.weights.arrays import Arrays, shown_digest
from mobilenet_v2.weights.load import Imported, Variables, import_file, to_variables


class Trained(NamedTuple):
    """Arrays by path and their SHA-256; `what` they are, at which step, and the config of the run, as plain values."""

    arrays: Arrays
    sha256: str
    what: str
    step: int
    config: Mapping[str, Any]


def is_run(folder: str | pathlib.Path) -> bool:
    """Whether `folder` is a run's, with checkpoints."""
    return (pathlib.Path(folder) / "checkpoints").is_dir()


def import_weights(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    replica: int | None = None,
    report: Callable[[str], None] = print,
) -> Imported:
    """What `weights.load.import_file` reads, and besides the folder of a run.

    Args:
      replica: which one, from 0 on, of a run that has several.

    Raises:
      UserError: as `import_run` and `import_file`.
    """
    if is_run(name):
        return import_run(name, report, replica)
    if replica is not None:
        raise WeightsError(f"--replica is {replica}, must not be given where {name!r} is no run")
    return import_file(name, revision=revision, offline=offline, report=report)


def load_run(
    folder: str | pathlib.Path, report: Callable[[str], None] = print, replica: int | None = None
) -> tuple[Any, Variables]:
    """The network and the variables of a run, as `load_pretrained` of a file.

    Raises:
      UserError: as `import_run`.
    """
    imported = import_run(folder, report, replica)
    return imported.model, to_variables(imported.arrays)


def import_run(
    folder: str | pathlib.Path, report: Callable[[str], None] = print, replica: int | None = None
) -> Imported:
    """The network of a run, its arrays, the preprocessing that its images were given, and its classes' names.

    Args:
      replica: which one, from 0 on, of a run that has several.

    Raises:
      WeightsError, CheckpointError, WorkdirError: if it is no run, has no checkpoint yet, or all are damaged.
    """
    folder = pathlib.Path(folder)
    config, trained = run_directory.read_config(folder), read_run(folder, replica)
    report(describe(folder, trained))
    preprocessing, model = Preprocessing.of(config.data), build_model(config.model)
    names = run_directory.read_class_names(folder)
    return Imported(model, trained.arrays, "a run", preprocessing, folder, trained.sha256, names)


def read_run(folder: pathlib.Path, replica: int | None = None) -> Trained:
    """The arrays of a run, taken by name, so that its optimizer and number of classes don't matter.

    Args:
      replica: which one, from 0 on, of a run that has several.

    Raises:
      WeightsError, CheckpointError: if it has no checkpoint yet, or all are damaged, or has not that replica.
    """
    if not is_run(folder):
        raise WeightsError(f"run {str(folder)!r} has no checkpoint yet")
    manager = checkpoint.open_reader(folder / "checkpoints")
    try:
        restored = checkpoint.restore_latest(manager, None, read_only=True)
    finally:
        manager.close()
    if restored is None:
        raise WeightsError(f"run {str(folder)!r} has no checkpoint yet")
    state: Mapping[str, Any] = restored.state
    averaged = state.get("ema_params") is not None
    prefix = "ema_" if averaged else ""
    variables = {name: state[prefix + name] for name in ("params", "batch_stats")}
    config = restored.extra["config"]
    _check_replica(folder, config.get("replicas", 1), config["seed"], replica)
    place = () if replica is None else replica  # of the axis of replicas
    arrays = {name: np.asarray(leaf)[place] for name, leaf in flatten_dict(variables, sep="/").items()}
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    what = "averaged variables" if averaged else "variables"
    if replica is not None:
        what = f"{what} of replica {replica} (seed {config['seed'] + replica})"
    return Trained(arrays, digest, what, int(state["step"]), config)


def _check_replica(folder: pathlib.Path, replicas: int, seed: int, replica: int | None) -> None:
    if replicas == 1 and replica is not None:
        raise WeightsError(f"--replica is {replica}, must not be given where run {str(folder)!r} is of one seed")
    if replicas > 1 and replica is None:
        raise WeightsError(
            f"run {str(folder)!r} holds {replicas} replicas, seeds {seed} … {seed + replicas - 1}, of which one must "
            f"be named: import_weights, predict, demo and evaluate --weights take --replica=0 … {replicas - 1}, and a "
            "run may start from the file that import_weights writes"
        )
    if replica is not None and replica >= replicas:
        raise WeightsError(f"--replica is {replica}, must be 0 … {replicas - 1} for run {str(folder)!r}")


def describe(folder: pathlib.Path, trained: Trained) -> str:
    """A line for a person."""
    return (
        f"{folder.name}: {trained.what} of step {trained.step}, {len(trained.arrays)} arrays, sha256 of their bytes "
        f"{shown_digest(trained.sha256)}"
    )
