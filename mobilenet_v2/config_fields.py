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


def _share() -> Field:
    return _number("a share in [0, 1]", lambda v: 0 <= v <= 1)


def _alpha() -> Field:
    """Of a Beta distribution; the bounds make λ all but always 0 or 1, and all but always ½."""
    return _number("0, or a number in [0.001, 1000]", lambda v: v == 0 or 1e-3 <= v <= 1e3)


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


def _pair(allowed: str, holds: Callable[[float], bool]) -> Field:
    ends = _number(allowed, holds)
    return Field(
        f"a tuple (least, greatest) of numbers {allowed}",
        lambda v: isinstance(v, tuple) and len(v) == 2 and all(map(ends.accepts, v)) and v[0] <= v[1],
    )


_INTERPOLATION = _choice("nearest", "box", "bilinear", "bicubic", "lanczos", "bilinear_tf1", "area", "linear")


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

# What only the host does to training images.
AUGMENTED_ON_HOST = {
    "image_size": None,
    "random_background": 0,
    "crop": "evaluation",
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "policy": "none",
}

FIELDS = {
    "seed": _integer(0, 2**32 - 1),
    "init_from": _or_none(_text()),
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
    "data.folder": _or_none(_text()),
    "data.skip_unreadable": _boolean(),
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
    "data.interpolation": _INTERPOLATION,
    "data.num_threads": _integer(0, 1024),
    "data.num_workers": _integer(0, 1024),
    "data.cache": _choice("none", "memory"),
    "data.residence": _choice("host", "device"),
    "data.device_bytes": _integer(1, 2**63 - 1),
    "data.max_unreadable": _share(),
    "augment.image_size": _or_none(_integer(1)),
    "augment.random_background": _share(),
    "augment.crop": _choice("evaluation", "random_resized", "distorted_box", "padded"),
    "augment.crop_area": _pair("in (0, 1]", lambda v: 0 < v <= 1),
    "augment.crop_aspect": _pair("in [0.01, 100]", lambda v: 0.01 <= v <= 100),
    "augment.crop_padding": _integer(0),
    "augment.interpolation": _INTERPOLATION,
    "augment.rotation": _number("degrees in [0, 180]", lambda v: 0 <= v <= 180),
    "augment.zoom": _fraction(),
    "augment.shift": _fraction(),
    "augment.flip": _boolean(),
    "augment.brightness": _share(),
    "augment.contrast": _share(),
    "augment.saturation": _share(),
    "augment.hue": _number("a number in [0, 0.5]", lambda v: 0 <= v <= 0.5),
    "augment.colour_order": _choice("torchvision", "slim", "slim_fast"),
    "augment.policy": _choice("none", "rand_augment", "trivial_augment_wide"),
    "augment.policy_layers": _integer(1, 8),
    "augment.policy_magnitude": _integer(0, 30),
    "augment.policy_magnitude_std": _number("a number in [0, 30]", lambda v: 0 <= v <= 30),
    "augment.policy_probability": _share(),
    "augment.policy_interpolation": _choice("nearest", "bilinear", "bicubic"),
    "augment.repeats": _integer(1, 64),
    "augment.erasing": _share(),
    "augment.erasing_area": _pair("in (0, 1]", lambda v: 0 < v <= 1),
    "augment.erasing_aspect": _pair("in (0, 1000]", lambda v: 0 < v <= 1000),
    "augment.mixup": _alpha(),
    "augment.cutmix": _alpha(),
    "augment.mix_probability": _share(),
    "train.batch_size": _integer(1),
    "train.accumulation_steps": _integer(1),
    "train.num_epochs": _epochs("> 0"),
    "train.num_steps": _or_none(_integer(1)),
    "train.label_smoothing": _fraction(),
    "train.frozen": _choice("nothing", "backbone"),
    "train.frozen_batch_norm": _boolean(),
    "train.log_every": _integer(1),
    "train.checkpoint_every": _integer(1),
    "train.evaluate_every": _integer(1),
    "train.keep_checkpoints": _integer(1),
    "optimizer.name": _choice("rmsprop", "sgd", "adamw"),
    "optimizer.learning_rate": _number("a number > 0 that float32 holds", lambda v: 0 < v <= 3.4e38),
    "optimizer.backbone_rate": _number("a number > 0 that float32 holds", lambda v: 0 < v <= 3.4e38),
    "optimizer.reference_batch": _or_none(_integer(1)),
    "optimizer.momentum": _fraction(),
    "optimizer.nesterov": _boolean(),
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
