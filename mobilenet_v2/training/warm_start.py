"""What a run starts from instead of initialisers: published weights, or what another run trained."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.trained import describe, is_run, read_run
from mobilenet_v2.weights.architecture import check_shapes, function_of
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.load import CLASSIFIER, fitting_classifier, import_file

_STEM = "params/stem/conv/kernel"


class WarmStart(NamedTuple):
    """Variables by path, without the classifier where a new one is drawn.

    Attributes:
      arrays: "params/…" and "batch_stats/…", float32.
      notes: lines for a person: what was found and done, and what of the config is not as in the source.
      record: what `environment.json` keeps; None if nothing was read.
      class_names: of the classifier that is kept; empty where they aren't known, or a new one is drawn.
    """

    arrays: Arrays
    notes: list[str]
    record: dict[str, Any] | None
    class_names: tuple[str, ...] = ()

    def other_classes(self, names: tuple[str, ...]) -> str | None:
        """What to tell if the classifier that is kept is of other classes than `names`, those of the data set."""
        differing = [pair for pair in zip(self.class_names, names, strict=False) if pair[0] != pair[1]]
        if not differing:
            return None
        was, now = differing[0]
        return (
            f"warning: the classifier is kept, whose class {was!r} is now {now!r}; names that differ: {len(differing)}"
        )


NOTHING = WarmStart({}, [], None)


class _Source(NamedTuple):
    """Arrays, the network that they are of, mean and deviation of its images if they are known, and what to record."""

    arrays: Arrays
    model: Any
    images: dict[str, Any]
    record: dict[str, Any]
    class_names: tuple[str, ...]


def load(config: ConfigDict) -> WarmStart:
    """Reads `config.init_from`, if there is one, and fits it to the network of `config.model`. Nothing is written.

    The newest checkpoint of a run is taken, of its averaged variables where it keeps them. The classifier is left out
    where the numbers of classes differ, but of 1001 classes the background is dropped for 1000. For grey images the
    stem's kernel is summed over its three colours: what it makes of a grey image in colour.

    Raises:
      WeightsError, CheckpointError: one line: what can't be read, or which arrays do not fit.
    """
    name, notes = config.init_from, []
    if name is None:
        return NOTHING
    try:
        source = _of_run(pathlib.Path(name), notes) if is_run(name) else _of_file(name, notes)
    except OSError as error:
        raise WeightsError(f"weights {name!r} can't be read: {error.strerror or error}") from error
    arrays, classes = _with_channels(source.arrays, config.data.channels, notes), config.model.num_classes
    backbone = {path: array for path, array in arrays.items() if not path.startswith(CLASSIFIER)}
    classifier = fitting_classifier(arrays, classes, config.seed, notes.append)
    model = build_model(config.model)
    kept = () if classifier is None else source.class_names
    if classifier is None:
        model, classifier = model.clone(num_classes=0), {}
    arrays = {path: np.asarray(array, np.float32) for path, array in {**backbone, **classifier}.items()}
    check_shapes(name, model, arrays, "config.model (found for expected)", config.data.channels)
    notes += _differences(name, source, config)
    return WarmStart(arrays, notes, {"init_from": name, **source.record}, kept)


def _of_file(name: str, notes: list[str]) -> _Source:
    imported = import_file(name, report=notes.append)
    preprocessing = imported.preprocessing
    images = {} if preprocessing is None else {"mean": preprocessing.mean, "std": preprocessing.std}
    record = {"file": str(imported.path), "source": imported.source, "sha256": imported.sha256}
    return _Source(imported.arrays, imported.model, images, record, imported.class_names)


def _of_run(folder: pathlib.Path, notes: list[str]) -> _Source:
    trained = read_run(folder)
    notes.append(describe(folder, trained))
    images = {field: tuple(trained.config["data"][field]) for field in ("mean", "std")}
    file = str(folder / "checkpoints" / str(trained.step))
    record = {"file": file, "source": f"{trained.what} of a run", "sha256": trained.sha256}
    model, names = build_model(run_directory.read_config(folder).model), run_directory.read_class_names(folder)
    return _Source(trained.arrays, model, images, record, names)


def _with_channels(arrays: Arrays, channels: int, notes: list[str]) -> Arrays:
    stem = arrays.get(_STEM)
    if channels != 1 or stem is None or stem.ndim != 4 or stem.shape[2] != 3:
        return arrays
    notes.append("images are grey: the stem's kernel is summed over its 3 colours, as if all had the same mean and std")
    return {**arrays, _STEM: stem.astype(np.float32).sum(axis=2, keepdims=True)}


def _differences(name: str, source: _Source, config: ConfigDict) -> list[str]:
    """A line for each thing that the source's network or images had otherwise."""
    ours, theirs = function_of(build_model(config.model)), function_of(source.model)
    differing = {
        f"config.model.{field}" if field in config.model else field: (ours[field], theirs[field])
        for field in ours
        if field in theirs and ours[field] != theirs[field]
    }
    for field, stated in source.images.items():
        if len(stated) == config.data.channels and stated != config.data[field]:
            differing[f"config.data.{field}"] = config.data[field], stated
    return [
        f"warning: {what}: {own!r} here, but {other!r} in {name!r}; accuracy may suffer"
        for what, (own, other) in differing.items()
    ]
