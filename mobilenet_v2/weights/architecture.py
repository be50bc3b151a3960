"""Which network a file's arrays are of: width, head and classes, told from their shapes."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models import activations
from mobilenet_v2.models.layers import HeadRule, head_channels, make_divisible
from mobilenet_v2.models.mobilenet_v1 import V1_STAGES
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES, MobileNetV2
from mobilenet_v2.weights.arrays import Arrays, first

# Published ones first: several widths can give the same channels.
_PUBLISHED = (1.0, 1.4, 1.3, 0.75, 0.5, 0.35, 0.25, 0.1, 1.1, 1.2)
_WIDTHS = (*_PUBLISHED, *(round(0.01 * step, 2) for step in range(5, 401)))
# d-li14 rounds to 4 at its width of 0.1.
_DIVISORS = (8, 4)
_HEAD = "params/head/conv/kernel"

# Under other values of these the same arrays fit a network, and are another function.
FUNCTION_FIELDS = (
    "padding",
    "batch_norm_epsilon",
    "activation",
    "stem_stride",
    "output_stride",
    "linear_bottleneck",
    "residual",
    "batch_norm_placement",
    "depthwise_order",
)


def function_of(model: Any) -> dict[str, Any]:
    """What of a network its arrays do not show, as a config states it: `FUNCTION_FIELDS` and each stage's stride.

    Fields that only the other network has are left out.
    """
    stated = {field: getattr(model, field) for field in FUNCTION_FIELDS if hasattr(model, field)}
    rows = model.stages if hasattr(model, "stages") else model.separable_stages
    strides = tuple(row.stride for row in rows)
    return {**stated, "activation": activations.name_of(model.activation), "strides of the stages": strides}


def mobilenet_v2_fields(file: str, arrays: Arrays, repeats: tuple[int, ...]) -> dict[str, Any]:
    """`MobileNetV2`'s attributes of which the shapes speak; `repeats` are the blocks in each of its stages.

    Several widths may give the blocks the same channels: the head decides between them, then the stem.

    Raises:
      WeightsError: if no width has these channels.
    """
    if len(repeats) != len(PAPER_STAGES):
        raise WeightsError(f"{file!r} has {len(repeats)} stages of blocks, must have {len(PAPER_STAGES)}")
    stages = tuple(row._replace(repeats=count) for row, count in zip(PAPER_STAGES, repeats, strict=True))
    found = _stage_widths(arrays, repeats)
    fitting = [
        (width, divisor)
        for divisor in _DIVISORS
        for width in _WIDTHS
        if found == [make_divisible(row.channels * width, divisor) for row in stages]
    ]
    if not fitting:
        raise WeightsError(f"{file!r} has {found} channels in its stages, as no width multiplier of MobileNetV2 gives")
    whole = [
        {"width_multiplier": width, "channel_divisor": divisor, "stages": stages, **stem, **head}
        for width, divisor in fitting
        for stem in [_stem_field(arrays, width, divisor)]
        for head in _head_field(arrays, width, divisor)
    ]
    if not whole:
        raise WeightsError(
            f"{file!r} has {arrays[_HEAD].shape[-1]} channels in its head, as no rule gives at a width of "
            f"{', '.join(f'{width:g}' for width, _ in fitting)}"
        )
    return min(whole, key=lambda fields: fields["stem_rule"] != "scaled")


def mobilenet_v1_fields(file: str, arrays: Arrays) -> dict[str, Any]:
    """`MobileNetV1`'s attributes of which the shapes speak.

    Raises:
      WeightsError: if no width has these channels.
    """
    rows = [row.channels for row in V1_STAGES for _ in range(row.repeats)]
    found = [arrays[f"params/block_{index:02d}/pointwise/conv/kernel"].shape[-1] for index in range(len(rows))]
    for width in _WIDTHS:
        if found == [max(8, int(channels * width)) for channels in rows]:
            return {"width_multiplier": width}
    raise WeightsError(f"{file!r} has {found} channels in its blocks, as no width multiplier of MobileNetV1 gives")


def shapes_of(model: nn.Module, channels: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array that `model.init` makes for images of so many channels, by path; nothing is computed."""
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    tree: Any = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    leaves: dict[str, Any] = flatten_dict(tree, sep="/")
    return {name: leaf.shape for name, leaf in leaves.items()}


def check_shapes(
    file: str,
    model: nn.Module,
    arrays: Arrays,
    network: str,
    channels: int | None = None,
) -> None:
    """Compares the arrays with what `model.init` makes.

    Args:
      network: what `model` is, to a person.
      channels: of images; None: as many as the arrays' stem reads.

    Raises:
      WeightsError: names the arrays that are missing, unexpected or of another shape.
    """
    stem = arrays.get("params/stem/conv/kernel")
    channels = channels or (stem.shape[2] if stem is not None and stem.ndim == 4 else 3)
    expected = shapes_of(model, channels)
    different = [
        f"{name}: {arrays[name].shape} for {shape}"
        for name, shape in expected.items()
        if name in arrays and arrays[name].shape != shape
    ]
    absent = sorted(expected.keys() ^ arrays.keys())
    if different or absent:
        raise WeightsError(
            f"{file!r} does not fit {network}; of another shape: {first(different)}; missing or not expected: "
            f"{first(absent)}"
        )


def _stage_widths(arrays: Arrays, repeats: tuple[int, ...]) -> list[int]:
    lasts = np.cumsum(repeats) - 1
    return [arrays[f"params/block_{last:02d}/project/conv/kernel"].shape[-1] for last in lasts]


def _stem_field(arrays: Arrays, width: float, divisor: int) -> dict[str, Any]:
    """timm's 110d and 120d keep the stem at 32 channels."""
    scaled = make_divisible(MobileNetV2.stem_channels * width, divisor)
    found = arrays["params/stem/conv/kernel"].shape[-1]
    return {"stem_rule": "scaled"} if found == scaled else {"stem_rule": "fixed", "stem_channels": found}


def _head_field(arrays: Arrays, width: float, divisor: int) -> list[dict[str, Any]]:
    """The first rule that gives the head its channels; empty if none does."""
    found, rules = arrays[_HEAD].shape[-1], get_args(HeadRule)
    channels = {rule: head_channels(MobileNetV2.head_channels, width, rule) for rule in rules}
    return [{"head_rule": rule} for rule in rules if found == make_divisible(channels[rule], divisor)][:1]
