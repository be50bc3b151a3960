"""Published weights, whatever their format, as a network and its variables."""

import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.initializers import kernel_initializers
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.weights import hub, name_map, native, sources
from mobilenet_v2.weights.architecture import check_shapes, mobilenet_v1_fields, mobilenet_v2_fields
from mobilenet_v2.weights.arrays import Arrays, as_float32, first, shown_digest
from mobilenet_v2.weights.json_file import read_object
from mobilenet_v2.weights.preprocessing import describe, preprocessing_of
from mobilenet_v2.weights.reading import Contents, read_file
from mobilenet_v2.weights.sources import huggingface

Variables = dict[str, Any]
CLASSIFIER = "params/classifier/"
_BACKGROUND = 1001, 1000


class Imported(NamedTuple):
    """A file's network: module, arrays by path, source, how images are made ready, checksum, names of the classes.

    `preprocessing` is None, and `class_names` empty, where no file says it.
    """

    model: Any
    arrays: Arrays
    source: str
    preprocessing: Preprocessing | None
    path: pathlib.Path
    sha256: str = ""
    class_names: tuple[str, ...] = ()


class Pretrained(NamedTuple):
    """A network with its variables, where they came from, and how images are made ready for it."""

    model: Any
    variables: Variables
    source: str
    preprocessing: Preprocessing | None


def load_pretrained(
    name: str | pathlib.Path,
    num_classes: int | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | None = None,
    offline: bool = False,
    seed: int = 0,
    fields: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = print,
) -> tuple[Any, Variables]:
    """The network and the variables of a weight file: `model.apply(variables, images, train=False)` are its logits.

    The format, the code base that it comes from, width and classes are told from the content. Padding, batch norm's
    constants and dropout are the code base's own.

    Args:
      name: a file, a folder with one, a TensorFlow checkpoint's prefix, or OWNER/NAME on the HuggingFace hub.
      num_classes: of the classifier. Where the file has another number, a new one is drawn; of 1001 classes the
        background, class 0, is dropped for 1000. None keeps the file's; 0 leaves the classifier out.
      revision, cache_dir, offline: of the hub, see `hub.fetch`.
      seed: of the new classifier.
      fields: attributes of the network that shall not be the source's.
      report: gets what was found and done, line by line.

    Raises:
      WeightsError: one line: what was expected, what was found, the first names that do not match.
    """
    imported = import_file(name, revision=revision, cache_dir=cache_dir, offline=offline, fields=fields, report=report)
    found = with_classes(str(name), imported, num_classes, seed=seed, report=report)
    return found.model, found.variables


def import_file(
    name: str | pathlib.Path,
    *,
    revision: str | None = None,
    cache_dir: str | None = None,
    offline: bool = False,
    fields: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = print,
) -> Imported:
    """Reads a weight file as `load_pretrained` does and leaves its classifier as it is.

    Raises:
      WeightsError: as `load_pretrained`.
    """
    path: str | pathlib.Path = name
    if isinstance(name, str) and hub.is_name(name) and not _is_local(name):
        folder = pathlib.Path(name).parent
        if folder.is_dir():
            raise WeightsError(f"weights {name!r} are no file: folder {str(folder)!r} is here, and holds no such thing")
        path, commit = hub.fetch(name, revision, cache_dir, offline)
        report(f"{name} at commit {commit}")
    contents = read_file(path)
    imported = (_native if contents.metadata.get("format") else _foreign)(contents, fields)
    arrays = as_float32(contents.path.name, imported.arrays)
    negative = [key for key, array in arrays.items() if key.endswith("/var") and (array < 0).any()]
    if negative:
        raise WeightsError(f"{contents.path.name!r} has negative variances in {first(negative)}")
    digest = _sha256(contents.files)
    report(f"{contents.path.name}: {imported.source}, {len(arrays)} arrays, sha256 {shown_digest(digest)}")
    if imported.preprocessing is not None:
        report(f"images: {describe(imported.preprocessing)}")
    return imported._replace(arrays=arrays, sha256=digest)


def with_classes(
    name: str, imported: Imported, num_classes: int | None, *, seed: int = 0, report: Callable[[str], None] = print
) -> Pretrained:
    """The imported network with so many classes, see `load_pretrained`.

    Raises:
      WeightsError: if the weights have no classifier and `num_classes` is None, or that is negative.
    """
    if num_classes is not None and num_classes < 0:
        raise WeightsError(f"num_classes is {num_classes}, must be at least 0")
    model, arrays = _classified(imported, num_classes, seed, report)
    check_shapes(name, model, arrays, "the network that its widths say")
    return Pretrained(model, to_variables(arrays), imported.source, imported.preprocessing)


def to_variables(arrays: Arrays) -> Variables:
    """Arrays by path as the variables that `model.init` makes, float32."""
    leaves = {path: jnp.asarray(array, jnp.float32) for path, array in arrays.items()}
    return unflatten_dict(leaves, sep="/")


def _sha256(files: Sequence[pathlib.Path]) -> str:
    """Of the files' bytes, one after the other: a checkpoint's index is followed by its data."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


def _is_local(name: str) -> bool:
    return pathlib.Path(name).exists() or pathlib.Path(f"{name}.index").exists()


def fitting_classifier(arrays: Arrays, num_classes: int, seed: int, report: Callable[[str], None]) -> Arrays | None:
    """The classifier of `arrays` if it has so many classes, or 1001 for 1000; None if a new one must be drawn.

    Args:
      seed: of the new one, for `report`, which gets what is done.
    """
    found = class_count(arrays)
    if found == num_classes:
        return {name: array for name, array in arrays.items() if name.startswith(CLASSIFIER)}
    if (found, num_classes) == _BACKGROUND:
        report("of 1001 classes the background, class 0, is dropped")
        return without_first_class(arrays)
    report(f"the classifier of {found or 'no'} classes is replaced by a new one of {num_classes}, seed {seed}")
    return None


def without_first_class(arrays: Arrays) -> Arrays:
    """The classifier of `arrays`, one class smaller."""
    return {name: array[..., 1:] for name, array in arrays.items() if name.startswith(CLASSIFIER)}


def class_count(arrays: Arrays) -> int | None:
    """Classes of the classifier among `arrays`; None if there is none."""
    return arrays[f"{CLASSIFIER}bias"].shape[0] if f"{CLASSIFIER}bias" in arrays else None


def _native(contents: Contents, fields: Mapping[str, Any] | None) -> Imported:
    name, version = contents.path.name, contents.metadata["format"]
    if not version.startswith(native.FAMILY):
        return _foreign(contents, fields)  # "pt", which torch's writer leaves
    if version != native.FORMAT:
        raise WeightsError(f"{name!r} has format {version!r}, must be {native.FORMAT!r}")
    stated = native.read_description(contents.path)
    changed = stated._replace(model={**stated.model, **(fields or {})})
    native.check_blocks(name, changed, contents.arrays)
    model = native.build(name, changed)
    check_shapes(name, model, contents.arrays, "the network that is described beside it")
    return Imported(model, contents.arrays, stated.source, stated.preprocessing, contents.path, "", stated.class_names)


def _foreign(contents: Contents, fields: Mapping[str, Any] | None) -> Imported:
    name = contents.path.name
    recognised = sources.recognise(contents.arrays, contents.format)
    if recognised is None:
        known = ", ".join(sources.BY_NAME)
        raise WeightsError(
            f"{name!r} has the names of no MobileNet of {known}; it holds {first(contents.arrays) or 'nothing'}"
        )
    source, arrays = recognised
    ours, repeats = name_map.to_ours(name, source, arrays)
    stated = source.fields()
    if source.architecture == "mobilenet_v1":
        stated |= mobilenet_v1_fields(name, ours)
    else:
        stated |= mobilenet_v2_fields(name, ours, repeats)
    beside = contents.path.with_name("config.json")
    if source is huggingface.HUGGINGFACE:
        huggingface.check_shortcut(name, ours)
        stated |= huggingface.fields_of_config(read_object(beside)) if beside.is_file() else {}
    if (classes := class_count(ours)) is not None:
        stated["num_classes"] = classes
    preprocessing = preprocessing_of(contents.path, source)
    return Imported(build_model({**stated, **(fields or {})}), ours, source.name, preprocessing, contents.path)


def _feature_count(arrays: Arrays) -> int:
    """Channels that are pooled: of the head, or of MobileNetV1's last block."""
    last = max(name for name in arrays if name.startswith("params/block_") and name.endswith("bn/scale"))
    return arrays.get("params/head/bn/scale", arrays[last]).shape[0]


def _classified(
    imported: Imported, num_classes: int | None, seed: int, report: Callable[[str], None]
) -> tuple[nn.Module, Arrays]:
    """The network with so many classes."""
    model, arrays, source = imported.model, imported.arrays, imported.source
    found = class_count(arrays)
    if found is None and num_classes is None and model.num_classes:
        raise WeightsError(
            f"these weights of {source} have no classifier; num_classes must say how many classes it has"
        )
    if num_classes is None or num_classes == found:
        return model, arrays
    backbone = {name: array for name, array in arrays.items() if not name.startswith(CLASSIFIER)}
    if num_classes == 0:
        return model.clone(num_classes=0), backbone
    classifier = fitting_classifier(arrays, num_classes, seed, report)
    if classifier is None:
        initializer = kernel_initializers(model.initialization).classifier
        features = _feature_count(arrays)
        kernel = np.asarray(initializer(jax.random.key(seed), (features, num_classes), jnp.float32))
        bias = np.zeros(num_classes, np.float32)
        classifier = {f"{CLASSIFIER}kernel": kernel, f"{CLASSIFIER}bias": bias}
    return model.clone(num_classes=num_classes), {**backbone, **classifier}
