"""TFDS data sets as random-access sources of encoded images. TensorFlow is never imported."""

import contextlib
import dataclasses
import fcntl
import io
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from mobilenet_v2.data.builders import BUILDERS
from mobilenet_v2.errors import DataError, nearest

_FORMAT = "array_record"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set: its TFDS builder, and what a model must know of it."""

    builder: Any
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Labels are 0 … num_classes − 1."""
        return len(self.class_names)

    def split(self, expression: str, cache: str = "none") -> Any:
        """Random access to the records of a TFDS split expression, `train[:10%]` say, images still encoded.

        Args:
          cache: "memory" reads them all here and now.

        Raises:
          DataError: if the data set has no such split, or the expression leaves no example.
        """
        try:
            records = self.builder.as_data_source(
                expression, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
            )
        except (ValueError, AssertionError) as error:
            splits = ", ".join(f"{name} ({info.num_examples})" for name, info in self.builder.info.splits.items())
            reason = str(error).splitlines()[0]
            raise DataError(
                f"split {expression!r} of data set {self.builder.name!r} can't be read; it has {splits} ({reason})"
            ) from error
        if len(records) == 0:
            raise DataError(f"split {expression!r} of data set {self.builder.name!r} has no example")
        source = Records(records, expression)
        return [source[index] for index in range(len(source))] if cache == "memory" else source


@dataclasses.dataclass(frozen=True)
class Records:
    """Random access to the examples of a split, each a dict of its fields that have one value: bytes or numbers.

    TFDS's own parser would make arrays of all of them, which takes as long as reading the record itself.

    Attributes:
      serialized: random access to `tf.train.Example` protocol buffers.
      split: what it is called in errors.
    """

    serialized: Any
    split: str

    def __len__(self) -> int:
        return len(self.serialized)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            # pyrefly: ignore (Protobuf makes its classes when it is imported.)
            fields = tf_example_pb2.Example.FromString(self.serialized[index]).features.feature
        except (DecodeError, ValueError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"record {index} of split {self.split!r} can't be read: {reason}") from error
        example = {}
        for name, feature in fields.items():
            values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
            if len(values) == 1:
                example[name] = values[0]
        return example


def open_dataset(name: str, data_dir: str | None = None) -> Dataset:
    """Opens a TFDS data set that is prepared as ArrayRecord; prepares it first if it is one of ours.

    Args:
      name: a TFDS name, with `/config` and `:version` where wanted.
      data_dir: where TFDS keeps its data sets; None is TFDS's own default.

    Raises:
      DataError: for a name that TFDS does not know, or a data set that is not prepared in `data_dir`, with the
        command that prepares it; or one without images and class labels.
    """
    builder = _prepared(BUILDERS[name], data_dir) if name in BUILDERS else _read_only(name, data_dir)
    features = dict(builder.info.features or {})
    if "image" not in features or not isinstance(features.get("label"), tfds.features.ClassLabel):
        raise DataError(f"data set {name!r} has features {', '.join(features)}; needs 'image' and a class 'label'")
    return Dataset(builder, tuple(features["label"].names))


def _prepared(builder_class: Any, data_dir: str | None) -> Any:
    try:
        builder = builder_class(data_dir=data_dir, file_format=_FORMAT)
        if not builder.is_prepared():
            # TFDS would print a dozen lines about a second's work.
            quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
            with _lock(pathlib.Path(builder.data_dir_root)), quiet[0], quiet[1]:
                builder = builder_class(data_dir=data_dir, file_format=_FORMAT)
                builder.download_and_prepare()
    except OSError as error:
        raise DataError(
            f"data set {builder_class.name!r} can't be prepared in {data_dir or 'the TFDS folder'}: {error}"
        ) from error
    return builder


def _read_only(name: str, data_dir: str | None) -> Any:
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR)
    base = re.split("[/:]", name)[0]
    known = [*BUILDERS, *tfds.list_builders(with_community_datasets=False)]
    # A data set that somebody prepared from code of their own is read from its files alone.
    if base not in known and not (root / base).is_dir():
        raise DataError(f"config.data.name is {name!r}, which is no data set that TFDS knows{nearest(base, known)}")
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format=_FORMAT)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError, OSError, ImportError) as error:
        raise DataError(f"config.data.name is {name!r}, which TFDS can't open: {str(error).splitlines()[0]}") from error
    if not builder.is_prepared():
        where = f" --data_dir={data_dir}" if data_dir else ""
        raise DataError(
            f"data set {name!r} is not prepared in {builder.data_dir_root}; prepare it once, where TensorFlow is "
            f"installed: pip install tensorflow && tfds build {name} --file_format={_FORMAT}{where}"
        )
    return builder


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """One process of this machine at a time: TFDS lets two preparations of a data set trip over each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
