"""What a config may say. `validate` runs before anything that takes time or writes a file."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.config_fields import CAME_LATER, FIELDS
from mobilenet_v2.config_rules import (
    check_augmentation,
    check_data,
    check_model,
    check_parallel,
    check_replicas,
    check_training,
)
from mobilenet_v2.errors import ConfigError, nearest


def validate(config: ConfigDict) -> None:
    """Checks every field's type and range, and the rules between fields.

    Raises:
      ConfigError: one line that names the field, its value and what is allowed; for an unknown field, the
        nearest known one.
    """
    check_fields(config)
    check_model(config)
    check_data(config)
    check_augmentation(config)
    check_training(config)
    check_parallel(config)
    check_replicas(config)


def check_fields(config: ConfigDict) -> None:
    """Checks every field alone: its type and range.

    Raises:
      ConfigError: see `validate`.
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


def validate_topology(config: ConfigDict, device_count: int, process_count: int) -> None:
    """Checks that every device gets the same number of rows of every (micro-)batch, and two for statistics of its own.

    Args:
      device_count: of those that a batch is split over; devices that have other replicas are not among them.

    Raises:
      ConfigError: if it would not, with the nearest batch sizes that would do; or if several processes share replicas.
    """
    if config.replicas > 1 and process_count > 1:
        raise ConfigError(
            f"config.replicas is {config.replicas}, must be 1 where {process_count} processes train together; let one "
            "process have all devices of its host, and start others, with other seeds, by themselves"
        )
    rows = device_count * config.train.accumulation_steps
    batch_size = config.train.batch_size
    if config.parallel.batch_norm == "per_device" and batch_size == rows:
        raise ConfigError(
            f"config.train.batch_size is {batch_size}, must be at least {2 * rows} where config.parallel.batch_norm is "
            f"'per_device': {device_count} devices with at least 2 rows of each of {config.train.accumulation_steps} "
            "micro-batches"
        )
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

    More logits than labels are allowed, 1001 with a background class say, but not for a folder of pictures: there
    the number is easily forgotten, and a run that has begun can't change it.

    Raises:
      ConfigError: if it has fewer, or may not have more.
    """
    if config.data.name == "image_folder" and config.model.num_classes > dataset_classes:
        raise ConfigError(
            f"config.model.num_classes is {config.model.num_classes}, must be the {dataset_classes} classes of "
            f"{config.data.folder!r}: --config.model.num_classes={dataset_classes}"
        )
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
    """The config that `to_json` wrote; what it had no fields for yet is as it then was.

    Raises:
      ConfigError: if `text` is not JSON of an object.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"config is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config must be a JSON object, found {type(values).__name__}")
    values = {**CAME_LATER, **values}
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
