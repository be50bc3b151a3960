"""The table of config fields: what each may be. The rules between fields are in `config.py`."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Field:
    """`accepts(value)` says whether a value may stand; `allowed` says to a person which values may."""

    allowed: str
    accepts: Callable[[Any], bool]


_INT32_MAX = 2**31 - 1  # JAX counts in int32


def _integer(low: int, high: int = _INT32_MAX) -> Field:
    allowed = f"an integer ≥ {low}" if high == _INT32_MAX else f"an integer in {low} … {high}"
    return Field(allowed, lambda v: type(v) is int and low <= v <= high)


def _number(allowed: str, holds: Callable[[float], bool]) -> Field:
    return Field(allowed, lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v))


def _epochs(low: str) -> Field:
    """Beyond 10⁶ epochs the steps would not be countable."""
    holds = {"> 0": lambda v: 0 < v <= 1e6, "≥ 0": lambda v: 0 <= v <= 1e6}[low]
    return _number(f"a number {low} and ≤ 1e6", holds)


def _positive() -> Field:
    return _number("a number > 0", lambda v: v > 0)


def _not_negative() -> Field:
    return _number("a number ≥ 0", lambda v: v >= 0)


def _fraction() -> Field:
    return _number("a number in [0, 1)", lambda v: 0 <= v < 1)


def _choice(*names: str) -> Field:
    return Field("one of " + ", ".join(map(repr, names)), lambda v: v in names)


def _text() -> Field:
    return Field("a non-empty string", lambda v: isinstance(v, str) and v != "")


def _boolean() -> Field:
    return Field("True or False", lambda v: isinstance(v, bool))


def _or_none(field: Field) -> Field:
    return Field(f"{field.allowed}, or None", lambda v: v is None or field.accepts(v))


def _channels(field: Field) -> Field:
    return Field(
        f"a tuple of three, or of one for grey images, each {field.allowed}",
        lambda v: isinstance(v, tuple) and len(v) in (1, 3) and all(map(field.accepts, v)),
    )


def _power_of_2(low: int, high: int) -> Field:
    powers = [2**n for n in range(64) if low <= 2**n <= high]
    return Field("one of " + ", ".join(map(str, powers)), lambda v: type(v) is int and v in powers)


def _rows(columns: str) -> Field:
    allowed = f"a non-empty tuple of ({columns})"
    return Field(allowed, lambda v: isinstance(v, tuple) and v != () and all(isinstance(r, tuple) for r in v))


STAGE_COLUMNS = "t or None, channels, repeats, stride"
STAGE_FIELDS = {
    "expansion_factor": _or_none(_integer(1, 64)),
    "channels": _integer(1),
    "repeats": _integer(1),
    "stride": _integer(1, 2),
}

SEPARABLE_STAGE_COLUMNS = "channels, repeats, stride"
SEPARABLE_STAGE_FIELDS = {name: STAGE_FIELDS[name] for name in ("channels", "repeats", "stride")}

# What the ablations of MobileNetV2 leave as it is, and MobileNetV1 does not have.
WITHOUT_ABLATION = {
    "expansion_factor": 6,
    "linear_bottleneck": True,
    "residual": "bottlenecks",
    "batch_norm_placement": "all",
    "depthwise_order": "after_expansion",
}

FIELDS = {
    "seed": _integer(0, 2**32 - 1),
    "model.name": _choice("mobilenet_v2", "mobilenet_v1"),
    "model.width_multiplier": _number("a number in (0, 16]", lambda v: 0 < v <= 16),
    "model.stem_channels": _integer(1),
    "model.stem_stride": _integer(1, 2),
    "model.stem_rule": _choice("scaled", "fixed"),
    "model.output_stride": _or_none(_power_of_2(2, 32)),
    "model.num_classes": _integer(2),
    "model.dropout_rate": _fraction(),
    "model.padding": _choice("same", "symmetric", "keras_v1"),
    "model.batch_norm_epsilon": _positive(),
    "model.batch_norm_momentum": _fraction(),
    "model.batch_norm_fast_variance": _boolean(),
    "model.batch_norm_unbiased": _boolean(),
    "model.initialization": _choice("slim", "keras", "torchvision", "timm", "huggingface"),
    "model.activation": _choice("relu6", "relu", "leaky_relu", "swish", "hard_swish", "gelu"),
    "model.dtype": _choice("float32", "bfloat16"),
    "model.formulation": _choice("auto", "lax", "shifted", "fused"),
    "model.remat": _choice("none", "convolutions", "blocks"),
    "model.expansion_factor": _integer(1, 64),
    "model.stages": _rows(STAGE_COLUMNS),
    "model.head_channels": _integer(1),
    "model.head_rule": _choice("paper", "shrink", "fixed"),
    "model.channel_divisor": _integer(1),
    "model.linear_bottleneck": _boolean(),
    "model.residual": _choice("bottlenecks", "expansions", "none"),
    "model.batch_norm_placement": _choice("all", "not_after_projection", "not_after_depthwise"),
    "model.depthwise_order": _choice("after_expansion", "before_expansion"),
    "model.separable_stages": _rows(SEPARABLE_STAGE_COLUMNS),
    "data.name": _text(),
    "data.data_dir": _or_none(_text()),
    "data.train_split": _text(),
    "data.validation_split": _text(),
    "data.test_split": _or_none(_text()),
    "data.image_size": _integer(1),
    "data.channels": Field("3 or 1", lambda v: type(v) is int and v in (3, 1)),
    "data.mean": _channels(_number("a number in [0, 1]", lambda v: 0 <= v <= 1)),
    "data.std": _channels(_positive()),
    "data.background": Field(
        "a tuple of red, green and blue, each an integer in 0 … 255",
        lambda v: isinstance(v, tuple) and len(v) == 3 and all(map(_integer(0, 255).accepts, v)),
    ),
    "data.exif_orientation": _boolean(),
    "data.resize": _choice("whole_image", "shorter_side", "shorter_side_floor", "central_fraction"),
    "data.resize_size": _or_none(_integer(1)),
    "data.crop_fraction": _number("a number in (0, 1]", lambda v: 0 < v <= 1),
    "data.interpolation": _choice("nearest", "box", "bilinear", "bicubic", "lanczos", "bilinear_tf1", "area", "linear"),
    "data.num_threads": _integer(0, 1024),
    "data.num_workers": _integer(0, 1024),
    "data.cache": _choice("none", "memory"),
    "data.max_unreadable": _number("a share in [0, 1]", lambda v: 0 <= v <= 1),
    "augment.flip": _boolean(),
    "augment.rotation": _number("degrees in [0, 180]", lambda v: 0 <= v <= 180),
    "augment.zoom": _fraction(),
    "augment.shift": _fraction(),
    "train.batch_size": _integer(1),
    "train.accumulation_steps": _integer(1),
    "train.num_epochs": _epochs("> 0"),
    "train.num_steps": _or_none(_integer(1)),
    "train.label_smoothing": _fraction(),
    "train.log_every": _integer(1),
    "train.checkpoint_every": _integer(1),
    "train.evaluate_every": _integer(1),
    "train.keep_checkpoints": _integer(1),
    "optimizer.name": _choice("rmsprop", "sgd", "adamw"),
    "optimizer.learning_rate": _number("a number > 0 that float32 holds", lambda v: 0 < v <= 3.4e38),
    "optimizer.momentum": _fraction(),
    "optimizer.decay": _fraction(),
    "optimizer.epsilon": _positive(),
    "optimizer.weight_decay": _not_negative(),
    "optimizer.weight_decay_mask": _choice("slim", "kernels", "all"),
    "optimizer.schedule": _choice("exponential", "cosine", "constant"),
    "optimizer.warmup_epochs": _epochs("≥ 0"),
    "optimizer.decay_rate": _number("a number in (0, 1]", lambda v: 0 < v <= 1),
    "optimizer.epochs_per_decay": _epochs("> 0"),
    "optimizer.ema_decay": _fraction(),
}
