"""TFDS data sets as random-access sources of encoded images. TensorFlow is never imported."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from ml_collections import ConfigDict
from tensorflow_datasets.core.download.extractor import ExtractError
from tensorflow_datasets.proto import tf_example_pb2

from mobilenet_v2.data.builders import BUILDERS
from mobilenet_v2.data.builders.image_folder import ImageFolder, folder_config, left_out
from mobilenet_v2.data.preparation import FORMAT, prepared
from mobilenet_v2.errors import DataError, TransientError, nearest

Check = Callable[[int], None]


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
            kind = TransientError if isinstance(error, OSError) else DataError
            raise kind(f"record {index} of split {self.split!r} can't be read: {reason}") from error
        example = {}
        for name, feature in fields.items():
            values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
            if len(values) == 1:
                example[name] = values[0]
        return example


def open_dataset(
    name: str,
    data_dir: str | None = None,
    folder: str | None = None,
    skip_unreadable: bool = False,
    *,
    prepare: bool = False,
    check: Check = lambda classes: None,
) -> Dataset:
    """Opens a TFDS data set that is prepared as ArrayRecord; prepares it first if it is one of ours.

    Args:
      name: a TFDS name, with `/config` and `:version` where wanted.
      data_dir: where TFDS keeps its data sets; None is TFDS's own default.
      folder: of "image_folder", the pictures: see `picture_layout.read_layout`; of "imagenet2012", the two archives.
      skip_unreadable: leave pictures out of "image_folder" that can't be read, instead of refusing it.
      prepare: prepare TFDS's own data sets, too, as far as they need no TensorFlow.
      check: gets the number of classes, before the data set is prepared; what it raises ends this.

    Raises:
      DataError: for a name that TFDS does not know, or a data set that is not prepared in `data_dir`, with the
        command that prepares it, or can't be; or one without images and class labels.
    """

    def checked(builder: Any) -> Any:
        check(len(_class_names(builder)))
        return builder

    if _is_ours(name):
        builder = _open_ours(name, data_dir, folder, skip_unreadable, checked)
    else:
        builder = _open_foreign(name, data_dir, prepare, checked)
    return Dataset(builder, _class_names(builder))


def open_configured(data: ConfigDict, *, prepare: bool = False, check: Check = lambda classes: None) -> Dataset:
    """`open_dataset`, as the fields of `config.data` say."""
    return open_dataset(data.name, data.data_dir, data.folder, data.skip_unreadable, prepare=prepare, check=check)


def _class_names(builder: Any) -> tuple[str, ...]:
    features = dict(builder.info.features or {})
    if "image" not in features or not isinstance(features.get("label"), tfds.features.ClassLabel):
        name, found = builder.info.full_name, ", ".join(features)
        raise DataError(f"data set {name!r} has features {found}; needs 'image' and a class 'label'")
    return tuple(features["label"].names)


def _parse(name: str) -> tuple[str, str | None, str | None]:
    """(name, config, version) of `name/config:version`."""
    name, _, version = name.partition(":")
    base, _, config = name.partition("/")
    return base, config or None, version or None


def _is_ours(name: str) -> bool:
    """Whether this package prepares it: another version than ours is one that TFDS has prepared."""
    base, _, version = _parse(name)
    return base in BUILDERS and version in (None, str(BUILDERS[base].VERSION))


def _open_ours(
    name: str,
    data_dir: str | None,
    folder: str | None,
    skip_unreadable: bool,
    checked: Callable[[Any], Any],
) -> Any:
    base, config, _ = _parse(name)
    arguments: dict[str, Any] = {"data_dir": data_dir, "file_format": FORMAT, "config": config}
    if base == ImageFolder.name:
        if not folder:
            raise DataError(f"data set {name!r} needs the folder of its pictures")
        if config:
            raise DataError(f"data set {name!r} has no configs: its pictures are those of the folder {folder!r}")
        arguments["config"] = folder_config(folder, skip_unreadable)

    def make() -> Any:
        try:
            builder = BUILDERS[base](**arguments)
        except (ValueError, AssertionError) as error:
            raise _cannot_open(name, error) from error
        return checked(builder)

    builder = prepared(make, manual_dir=folder)
    if isinstance(builder, ImageFolder):
        left_out(builder)
    return builder


def _open_foreign(name: str, data_dir: str | None, prepare: bool, checked: Callable[[Any], Any]) -> Any:
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR)
    base = _parse(name)[0]
    known = [*BUILDERS, *tfds.list_builders(with_community_datasets=False)]
    # A data set that somebody prepared from code of their own is read from its files alone.
    if base not in known and not (root / base).is_dir():
        raise DataError(f"config.data.name is {name!r}, which is no data set that TFDS knows{nearest(base, known)}")
    try:
        builder = checked(tfds.builder(name, data_dir=data_dir, file_format=FORMAT))
        if prepare and not builder.is_prepared():
            # Without TensorFlow encoding fails with the one, unpacking with the other; the error below says so.
            with contextlib.suppress(ImportError, ExtractError):
                builder = prepared(lambda: tfds.builder(name, data_dir=data_dir, file_format=FORMAT))
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError, OSError, ImportError) as error:
        raise _cannot_open(name, error) from error
    if not builder.is_prepared():
        where = f" --data_dir={data_dir}" if data_dir else ""
        raise DataError(
            f"data set {name!r} is not prepared in {builder.data_dir_root}; prepare it once, where TensorFlow is "
            f"installed: pip install tensorflow && tfds build {name} --file_format={FORMAT}{where}"
        )
    return builder


def _cannot_open(name: str, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(f"config.data.name is {name!r}, which TFDS can't open: {reason}")
