"""The rules between config fields: what each may be alone is in `config_fields.py`."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.config_fields import (
    AUGMENTED_ON_HOST,
    SEPARABLE_STAGE_COLUMNS,
    SEPARABLE_STAGE_FIELDS,
    STAGE_COLUMNS,
    STAGE_FIELDS,
    WITHOUT_ABLATION,
)
from mobilenet_v2.config_kinds import Field
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.models.layers import head_channels


def check_model(config: ConfigDict) -> None:
    """The network's fields among each other, and its strides against the image.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    model = config.model
    check_network(model)
    rows = "separable_stages" if model.name == "mobilenet_v1" else "stages"
    stride = math.prod([model.stem_stride, *(row[-1] for row in model[rows])])
    if model.output_stride is not None:
        stride = min(stride, model.output_stride)
    for section in ("data", "augment"):
        size = config[section].image_size
        if size is not None and size < stride:
            raise ConfigError(
                f"config.{section}.image_size is {size}, must be at least {stride}, the product of "
                f"config.model.stem_stride and the strides of config.model.{rows}"
            )


def check_network(model: ConfigDict) -> None:
    """The rows of the stages, the head against the divisor, no ablation of MobileNetV1.

    Args:
      model: `config.model`, all of it.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    _check_rows("stages", model.stages, STAGE_FIELDS, STAGE_COLUMNS)
    _check_rows("separable_stages", model.separable_stages, SEPARABLE_STAGE_FIELDS, SEPARABLE_STAGE_COLUMNS)
    if model.name == "mobilenet_v1":
        where = f"config.model.name is {model.name!r}, which has no such thing"
        _must_be_plain(model, "model", WITHOUT_ABLATION, where)
        return
    head_width = head_channels(model.head_channels, model.width_multiplier, model.head_rule)
    if head_width < model.channel_divisor:
        raise ConfigError(
            f"config.model.head_channels is {model.head_channels}, which head_rule {model.head_rule!r} scales to "
            f"{head_width:g}, must come to at least config.model.channel_divisor, {model.channel_divisor}"
        )


def _check_rows(name: str, rows: Any, fields: Mapping[str, Field], columns: str) -> None:
    """A table of stages has rows as `fields` say."""
    for index, row in enumerate(rows):
        if len(row) != len(fields):
            raise ConfigError(f"config.model.{name}[{index}] is {row!r}, must be ({columns})")
        for (column, field), value in zip(fields.items(), row, strict=True):
            if not field.accepts(value):
                raise ConfigError(f"config.model.{name}[{index}] has {column} {value!r}, must be {field.allowed}")


def _must_be_plain(fields: ConfigDict, section: str, plain: Mapping[str, Any], where: str) -> None:
    """Refuses fields of a section that are other than `plain` says; `where` says what leaves them no choice."""
    for name, value in plain.items():
        if fields[name] != value:
            raise ConfigError(f"config.{section}.{name} is {fields[name]!r}, must be {value!r} where {where}")


def check_data(config: ConfigDict) -> None:
    """Numbers a channel, and what is cut from what.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    _check_folder(config.data)
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


def _check_folder(data: ConfigDict) -> None:
    """A folder of pictures belongs to a data set that is made from one."""
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


def check_augmentation(config: ConfigDict) -> None:
    """What a crop, an order of colours, a policy and a residence can do.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    augment, data = config.augment, config.data
    if data.residence == "device":
        where = "config.data.residence is 'device', where images are decoded and cut once"
        _must_be_plain(augment, "augment", AUGMENTED_ON_HOST, where)
    size = augment.image_size or data.image_size
    if augment.crop == "padded" and augment.crop_padding >= size:
        raise ConfigError(
            f"config.augment.crop_padding is {augment.crop_padding}, must be less than the image's {size} pixels: some "
            "crops would lie wholly in the padding"
        )
    cut = augment.crop in ("evaluation", "padded") and data.resize.startswith("shorter_side")
    if cut and (data.resize_size or size) < size:
        raise ConfigError(
            f"config.augment.image_size is {size}, must be at most config.data.resize_size, {data.resize_size}, from "
            f"which config.augment.crop {augment.crop!r} cuts it"
        )
    if augment.colour_order == "slim_fast":
        where = "config.augment.colour_order is 'slim_fast', which has brightness and saturation alone"
        _must_be_plain(augment, "augment", {"contrast": 0, "hue": 0}, where)
    if augment.policy != "rand_augment":
        where = f"config.augment.policy is {augment.policy!r}, which has no such thing"
        _must_be_plain(augment, "augment", {"policy_magnitude_std": 0, "policy_probability": 1}, where)


def check_training(config: ConfigDict) -> None:
    """Counts that must divide each other, and what can train.

    Raises:
      ConfigError: names the fields that do not go together.
    """
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
    if train.frozen == "backbone" and config.optimizer.backbone_rate != 1:
        raise ConfigError(
            f"config.optimizer.backbone_rate is {config.optimizer.backbone_rate}, must be 1.0 where "
            f"config.train.frozen is {train.frozen!r}: nothing of it trains"
        )
    # A partner is `repeats` rows before its row, around the whole batch's end (`training/mixing.py`), before that is
    # cut into micro-batches. In a batch of fewer than twice as many rows some partners are the same example.
    repeats = config.augment.repeats
    for name in ("mixup", "cutmix"):
        if config.augment[name] and train.batch_size < 2 * repeats:
            raise ConfigError(
                f"config.augment.{name} is {config.augment[name]}, must be 0 where config.train.batch_size is "
                f"{train.batch_size} and config.augment.repeats {repeats}: for an image to be mixed with another, "
                f"batch_size must be at least 2 × repeats, {2 * repeats}"
            )


def check_replicas(config: ConfigDict) -> None:
    """Seeds that are seeds, and whole parameters.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    if config.seed + config.replicas > 2**32:
        raise ConfigError(
            f"config.seed is {config.seed}, must be at most {2**32 - config.replicas} where config.replicas is "
            f"{config.replicas}: the last seed is config.seed + replicas - 1"
        )
    if config.replicas > 1:
        where = f"config.replicas is {config.replicas}: replicas are for networks that a device holds several of"
        _must_be_plain(config.parallel, "parallel", {"parameters": "replicated"}, where)


def check_parallel(config: ConfigDict) -> None:
    """Groups of batch norm against the micro-batch that they are parts of.

    Raises:
      ConfigError: names the fields that do not go together.
    """
    mode, rows = config.parallel.batch_norm, config.parallel.batch_norm_group
    if (rows is None) == (mode == "groups"):
        allowed = "a number of rows" if mode == "groups" else "None"
        raise ConfigError(
            f"config.parallel.batch_norm_group is {rows}, must be {allowed} where config.parallel.batch_norm is "
            f"{mode!r}"
        )
    frozen = [
        f"config.train.{name} is {config.train[name]!r}"
        for name, trains in (("frozen", "nothing"), ("frozen_batch_norm", False))
        if config.train[name] != trains
    ]
    if mode != "global" and frozen:
        raise ConfigError(
            f"config.parallel.batch_norm is {mode!r}, must be 'global' where {frozen[0]}: running statistics normalise"
        )
    micro_batch = config.train.batch_size // config.train.accumulation_steps
    if rows is not None and micro_batch % rows:
        raise ConfigError(
            f"config.parallel.batch_norm_group is {rows}, must divide {micro_batch}, which is config.train.batch_size "
            "/ config.train.accumulation_steps"
        )
