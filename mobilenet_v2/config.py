"""What a config may say. `validate` runs before anything that takes time or writes a file."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.config_fields import (
    FIELDS,
    SEPARABLE_STAGE_COLUMNS,
    SEPARABLE_STAGE_FIELDS,
    STAGE_COLUMNS,
    STAGE_FIELDS,
    WITHOUT_ABLATION,
    Field,
)
from mobilenet_v2.errors import ConfigError, nearest
from mobilenet_v2.models.layers import head_channels


def validate(config: ConfigDict) -> None:
    """Checks every field's type and range, and the rules between fields.

    Raises:
      ConfigError: one line that names the field, its value and what is allowed; for an unknown field, the
        nearest known one.
    """
    values = dict(flatten(config))
    for name in values:
        if name not in FIELDS:
            raise ConfigError(f"config has no field {name!r}{nearest(name, FIELDS)}")
    for name, field in FIELDS.items():
        if name not in values:
            raise ConfigError(f"config.{name} is missing; it must be {field.allowed}")
        if not field.accepts(values[name]):
            raise ConfigError(f"config.{name} is {values[name]!r}, must be {field.allowed}")
    _validate_model(config)
    _validate_data(config)
    _validate_training(config)


def validate_topology(config: ConfigDict, device_count: int, process_count: int) -> None:
    """Checks that every device gets the same number of rows of every (micro-)batch.

    Raises:
      ConfigError: if it would not, with the nearest batch sizes that would do.
    """
    rows = device_count * config.train.accumulation_steps
    batch_size = config.train.batch_size
    if batch_size % rows == 0:
        return
    below, above = batch_size // rows * rows, -(-batch_size // rows) * rows
    nearby = f"{below} or {above}" if below else f"{above}"
    raise ConfigError(
        f"config.train.batch_size is {batch_size}, must be divisible by {device_count} devices "
        f"({process_count} processes) × {config.train.accumulation_steps} accumulation steps, as {nearby}"
    )


def validate_classes(config: ConfigDict, dataset_classes: int) -> None:
    """Checks that the classifier has a logit for each label of the data set.

    More logits than labels are allowed: 1001 with a background class, say.

    Raises:
      ConfigError: if it has fewer.
    """
    if config.model.num_classes < dataset_classes:
        raise ConfigError(
            f"config.model.num_classes is {config.model.num_classes}, must be at least {dataset_classes}, "
            f"the classes of data set {config.data.name!r}"
        )


def flatten(config: ConfigDict | Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted name, value) of each field, sequences as tuples."""
    for name, value in config.items():
        if isinstance(value, ConfigDict | dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _as_tuple(value)


def to_json(config: ConfigDict) -> str:
    """The config as JSON, fields by name: a file that a person can read and compare."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The config that `to_json` wrote.

    Raises:
      ConfigError: if `text` is not JSON of an object.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"config is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config must be a JSON object, found {type(values).__name__}")
    try:
        return ConfigDict(_with_tuples(values))
    except ValueError as error:
        raise ConfigError(f"config has a name that no field may have: {error}") from error


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Names each field that differs, with both values: `train.batch_size: 32 → 64`."""
    before, after = dict(flatten(old)), dict(flatten(new))
    return [
        f"{name}: {before.get(name, 'absent')!r} → {after.get(name, 'absent')!r}"
        for name in dict.fromkeys((*before, *after))
        if (name in before, before.get(name)) != (name in after, after.get(name))
    ]


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list | tuple) else value


def _with_tuples(value: Any) -> Any:
    """JSON knows only lists, and a ConfigDict field that once held a list stays one."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return _as_tuple(value)


def _validate_model(config: ConfigDict) -> None:
    model = config.model
    strides = {
        "stages": _validated_strides("stages", model.stages, STAGE_FIELDS, STAGE_COLUMNS),
        "separable_stages": _validated_strides(
            "separable_stages", model.separable_stages, SEPARABLE_STAGE_FIELDS, SEPARABLE_STAGE_COLUMNS
        ),
    }
    rows = "separable_stages" if model.name == "mobilenet_v1" else "stages"
    stride = math.prod([model.stem_stride, *strides[rows]])
    if model.output_stride is not None:
        stride = min(stride, model.output_stride)
    if config.data.image_size < stride:
        raise ConfigError(
            f"config.data.image_size is {config.data.image_size}, must be at least {stride}, the product of "
            f"config.model.stem_stride and the strides of config.model.{rows}"
        )
    if model.name == "mobilenet_v1":
        _refuse_ablations(config)
        return
    head_width = head_channels(model.head_channels, model.width_multiplier, model.head_rule)
    if head_width < model.channel_divisor:
        raise ConfigError(
            f"config.model.head_channels is {model.head_channels}, which head_rule {model.head_rule!r} scales to "
            f"{head_width:g}, must come to at least config.model.channel_divisor, {model.channel_divisor}"
        )


def _validated_strides(name: str, rows: Any, fields: Mapping[str, Field], columns: str) -> list[int]:
    """The strides of a table of stages, each row of which is as `fields` say."""
    for index, row in enumerate(rows):
        if len(row) != len(fields):
            raise ConfigError(f"config.model.{name}[{index}] is {row!r}, must be ({columns})")
        for (column, field), value in zip(fields.items(), row, strict=True):
            if not field.accepts(value):
                raise ConfigError(f"config.model.{name}[{index}] has {column} {value!r}, must be {field.allowed}")
    return [row[-1] for row in rows]


def _refuse_ablations(config: ConfigDict) -> None:
    for name, plain in WITHOUT_ABLATION.items():
        if config.model[name] != plain:
            raise ConfigError(
                f"config.model.{name} is {config.model[name]!r}, must be {plain!r} where config.model.name is "
                f"{config.model.name!r}, which has no such thing"
            )


def _validate_data(config: ConfigDict) -> None:
    _validate_folder(config.data)
    for name in ("mean", "std"):
        if len(config.data[name]) != config.data.channels:
            raise ConfigError(
                f"config.data.{name} is {config.data[name]!r}, must have as many numbers as "
                f"config.data.channels, {config.data.channels}"
            )

    data = config.data
    if data.resize.startswith("shorter_side") and (data.resize_size or data.image_size) < data.image_size:
        raise ConfigError(
            f"config.data.resize_size is {data.resize_size}, must be at least config.data.image_size, "
            f"{data.image_size}, which is cut from it"
        )


def _validate_folder(data: ConfigDict) -> None:
    name = re.split("[/:]", data.name)[0]
    if name == "image_folder" and data.folder is None:
        raise ConfigError(
            "config.data.folder is None, must be a folder of pictures where config.data.name is 'image_folder'"
        )
    if name not in ("image_folder", "imagenet2012") and data.folder is not None:
        raise ConfigError(
            f"config.data.folder is {data.folder!r}, must be None where config.data.name is {data.name!r}: folders are "
            "for 'image_folder' and 'imagenet2012'"
        )
    if name != "image_folder" and data.skip_unreadable:
        raise ConfigError(
            f"config.data.skip_unreadable is True, must be False where config.data.name is {data.name!r}: it is for "
            "'image_folder'"
        )


def _validate_training(config: ConfigDict) -> None:
    train = config.train
    if train.evaluate_every % train.checkpoint_every:
        raise ConfigError(
            f"config.train.evaluate_every is {train.evaluate_every}, must be a multiple of "
            f"config.train.checkpoint_every, {train.checkpoint_every}: a state is saved before it is scored"
        )
    if train.batch_size % train.accumulation_steps:
        raise ConfigError(
            f"config.train.accumulation_steps is {train.accumulation_steps}, must divide "
            f"config.train.batch_size, {train.batch_size}"
        )
