"""HuggingFace transformers' `MobileNetV2ForImageClassification`: block 00 belongs to its stem."""

from collections.abc import Iterator, Mapping
from typing import Any

from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import TORCH, Layer, Source

_PREFIX = "mobilenet_v2."
# transformers/activations.py, `ACT2FN`. Its "gelu" is the exact one, ours the approximation by tanh.
_ACTIVATIONS = {
    "relu6": "relu6",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "silu": "swish",
    "swish": "swish",
    "gelu_pytorch_tanh": "gelu",
}
_OUTPUT_STRIDES = {8: 8, 16: 16, 32: None}


def _layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    names = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}
    yield _layer("stem", "conv_stem.first_conv")
    for ours in ("depthwise", "project"):
        yield _layer(f"block_00/{ours}", f"conv_stem.{names[ours]}")
    for index in range(1, sum(repeats)):
        for ours, theirs in names.items():
            yield _layer(f"block_{index:02d}/{ours}", f"layer.{index - 1}.{theirs}")
    yield _layer("head", "conv_1x1")


def _layer(ours: str, theirs: str) -> Layer:
    return Layer(ours, f"{_PREFIX}{theirs}.convolution", f"{_PREFIX}{theirs}.normalization")


def fields_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.json` beside the weights changes of the network.

    `depth_multiplier`, `depth_divisible_by`, `min_depth`, `expand_ratio` and `finegrained_output` decide on channels
    alone: the arrays' shapes tell these, and are believed.

    Raises:
      WeightsError: if it is no config of a MobileNetV2, or of one that ours can't be.
    """
    if config.get("model_type") != "mobilenet_v2":
        raise WeightsError(f"config.json states model_type {config.get('model_type')!r}, must be 'mobilenet_v2'")
    fields = {
        "padding": _one_of(config, "tf_padding", True, {True: "same", False: "symmetric"}),
        "activation": _one_of(config, "hidden_act", "relu6", _ACTIVATIONS),
        "output_stride": _one_of(config, "output_stride", 32, _OUTPUT_STRIDES),
        "batch_norm_epsilon": config.get("layer_norm_eps", 1e-3),
        "dropout_rate": config.get("classifier_dropout_prob", 0.8),
    }
    _one_of(config, "first_layer_is_expansion", True, {True: None})
    for name, theirs in (("batch_norm_epsilon", "layer_norm_eps"), ("dropout_rate", "classifier_dropout_prob")):
        field = FIELDS[f"model.{name}"]
        if not field.accepts(fields[name]):
            raise WeightsError(f"config.json states {theirs} {fields[name]!r}, must be {field.allowed}")
    return fields


def _one_of(config: Mapping[str, Any], key: str, default: Any, known: Mapping[Any, Any]) -> Any:
    value = config.get(key, default)
    found = [ours for theirs, ours in known.items() if type(theirs) is type(value) and theirs == value]
    if not found:
        allowed = ", ".join(map(repr, known))
        raise WeightsError(f"config.json states {key} {value!r}, must be one of {allowed} for a network of ours")
    return found[0]


def check_shortcut(file: str, arrays: Arrays) -> None:
    """Refuses a stem as wide as block 00, `arrays` being ours by path: HuggingFace has no shortcut there, we have one.

    Raises:
      WeightsError: if it is so, as at widths below 0.28.
    """
    stem, block = (arrays[f"params/{name}/conv/kernel"].shape[-1] for name in ("stem", "block_00/project"))
    if stem == block:
        raise WeightsError(
            f"{file!r} has {stem} channels in its stem and in block 00, must have fewer in block 00: HuggingFace's "
            "network has no shortcut there, and ours would"
        )


def with_prefix(arrays: Arrays) -> Arrays:
    """A bare `MobileNetV2Model` has the names without the prefix."""
    if "conv_stem.first_conv.convolution.weight" not in arrays:
        return arrays
    return {f"{_PREFIX}{name}": array for name, array in arrays.items()}


HUGGINGFACE = Source(
    name="huggingface",
    architecture="mobilenet_v2",
    layout=TORCH,
    stem=f"{_PREFIX}conv_stem.first_conv.convolution",
    layers=_layers,
    classifier="classifier",
    variant="hf/mobilenet_v2_100",
    canonical=with_prefix,
)
