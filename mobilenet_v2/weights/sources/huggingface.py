"""HuggingFace transformers' `MobileNetV2ForImageClassification`: block 00 belongs to its stem."""

import json
from collections.abc import Iterator
from typing import Any

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import TORCH, Layer, Source

_PREFIX = "mobilenet_v2."


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


def fields_of_config(text: str) -> dict[str, Any]:
    """What `config.json` beside the weights changes of the network.

    Raises:
      WeightsError: if it is no config of a MobileNetV2.
    """
    try:
        config = json.loads(text)
        if config["model_type"] != "mobilenet_v2":
            raise ValueError(config["model_type"])
        return {
            "padding": "same" if config.get("tf_padding", True) else "symmetric",
            "batch_norm_epsilon": float(config.get("layer_norm_eps", 1e-3)),
            "dropout_rate": float(config.get("classifier_dropout_prob", 0.8)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"config.json beside the weights is not of a mobilenet_v2: {error!r}") from error


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
