import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import pytest

from mobilenet_v2.models import cost
from mobilenet_v2.models import network as network_module
from mobilenet_v2.models.initializers import Initializers
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES, MobileNetV2, Stage

COUNTS = json.loads((pathlib.Path(__file__).parents[1] / "reference" / "counts.json").read_text())
SIZES = (224, 192, 160, 128, 96)


@pytest.fixture(scope="module", autouse=True)
def _quick_to_trace() -> Iterator[None]:
    # No count depends on how kernels are drawn, and tracing that takes time.
    zeros = nn.initializers.zeros_init()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "kernel_initializers", lambda name: Initializers(zeros, zeros, zeros))
        yield


@functools.cache
def counted(model: nn.Module, size: int = 224) -> cost.Cost:
    return cost.count(model, size)


def network(entry: dict[str, Any], classes: int = 1000) -> MobileNetV2:
    rule = entry.get("head_rule", "paper")
    return MobileNetV2(
        num_classes=classes,
        width_multiplier=entry["width"],
        expansion_factor=entry.get("t", 6),
        head_rule="paper" if rule == "either" else rule,
        channel_divisor=entry.get("round_to", 8),
        formulation="lax",
    )


def name(entry: dict[str, Any]) -> str:
    keys = ("width", "t", "head_rule", "round_to", "classes", "name")
    return "-".join(str(entry[key]) for key in keys if key in entry)


def of_classes(number: int) -> list[dict[str, Any]]:
    return [entry for entry in COUNTS["mobilenet_v2"] if entry["classes"] == number]


def some(entries: list[dict[str, Any]], key: str, *quick: float) -> list[Any]:
    """All entries, of which those with other values of `key` are for the slow tests."""
    return [pytest.param(entry, marks=() if entry[key] in quick else pytest.mark.slow) for entry in entries]


def assert_totals(total: cost.Cost, entry: dict[str, Any]) -> None:
    assert total.parameters == entry["trainable"]
    assert total.batch_stats == entry["bn_moving"]


@pytest.mark.parametrize("entry", some(of_classes(1000), "width", 0.35, 1.0, 1.4), ids=name)
def test_widths_match_the_published_counts(entry: dict[str, Any]) -> None:
    assert_totals(counted(network(entry)), entry)
    assert {str(size): counted(network(entry), size).multiply_adds for size in SIZES} == entry["madds"]
    stem, *blocks, head, classifier = counted(network(entry)).blocks
    assert stem.output_shape[-1] == entry["stem_channels"]
    assert [block.output_shape[-1] for block in blocks] == entry["block_channels"]
    assert [block.expanded_channels for block in blocks] == entry["expanded_channels"]
    assert head.output_shape[-1] == entry["head_channels"]
    assert classifier.output_shape == (1000,)


@pytest.mark.parametrize("entry", some(of_classes(1001), "width", 0.5, 1.4), ids=name)
def test_a_background_class_costs_one_row_of_the_classifier_at_every_size(entry: dict[str, Any]) -> None:
    total = counted(network(entry, classes=1001))
    assert_totals(total, entry)
    assert total.multiply_adds == entry["madds"]["224"]
    row = entry["head_channels"]
    assert {str(size): counted(network(entry), size).multiply_adds + row for size in SIZES} == entry["madds"]


@pytest.mark.parametrize("entry", some(COUNTS["expansion_sweep"], "t", 1, 3, 6, 10), ids=name)
def test_expansion_factors_match_the_counts(entry: dict[str, Any]) -> None:
    assert_totals(counted(network(entry)), entry)
    assert {str(size): counted(network(entry), size).multiply_adds for size in SIZES} == entry["madds"]


@pytest.mark.parametrize("entry", some(COUNTS["equal_madds"], "t", 1, 3, 10), ids=name)
def test_widths_of_equal_cost_match_the_counts(entry: dict[str, Any]) -> None:
    total = counted(network(entry))
    assert_totals(total, entry)
    assert total.multiply_adds == entry["madds_224"]


@pytest.mark.parametrize("entry", some(COUNTS["deep"], "width", 1.2), ids=name)
def test_deeper_networks_match_the_counts(entry: dict[str, Any]) -> None:
    stages = tuple(Stage(*row)._replace(repeats=n) for row, n in zip(PAPER_STAGES, entry["row_repeats"], strict=True))
    model = MobileNetV2(width_multiplier=entry["width"], stages=stages, stem_rule="fixed", head_rule="fixed")
    assert_totals(counted(model), entry)
    assert {str(size): counted(model, size).multiply_adds for size in SIZES} == entry["madds"]
    stem, *blocks, _, _ = counted(model).blocks
    assert stem.output_shape[-1] == entry["stem_channels"]
    assert [block.output_shape[-1] for block in blocks] == entry["block_channels"]


@pytest.mark.parametrize("entry", COUNTS["mobilenet_v1"], ids=name)
def test_mobilenet_v1_matches_the_counts(entry: dict[str, Any]) -> None:
    model = MobileNetV1(num_classes=entry["classes"], width_multiplier=entry["width"], formulation="lax")
    assert_totals(counted(model), entry)
    assert {size: counted(model, int(size)).multiply_adds for size in entry["madds"]} == entry["madds"]
    stem, *blocks, _ = counted(model).blocks
    assert stem.output_shape[-1] == entry["stem_channels"]
    assert [block.output_shape[-1] for block in blocks] == entry["block_channels"]
    assert [block.expanded_channels for block in blocks] == [entry["stem_channels"], *entry["block_channels"][:-1]]


def test_mobilenet_v1_holds_no_input_for_a_shortcut() -> None:
    # Block 02 keeps its shape, as one with a shortcut would: 56 × 56 × 128 in, between and out.
    assert counted(MobileNetV1()).blocks[3].peak_bytes == 4 * 56 * 56 * (128 + 128)


def test_dilation_costs_multiply_adds_and_no_parameters() -> None:
    strided, dilated = counted(MobileNetV2()), counted(MobileNetV2(output_stride=16))
    assert dilated.parameters == strided.parameters
    assert [block.multiply_adds for block in dilated.blocks[:14]] == [b.multiply_adds for b in strided.blocks[:14]]
    # Four times the positions behind what was the last stride.
    assert [d.multiply_adds for d in dilated.blocks[15:-1]] == [4 * s.multiply_adds for s in strided.blocks[15:-1]]


def test_a_backbone_costs_what_the_network_does_without_its_classifier() -> None:
    assert counted(MobileNetV2(num_classes=0)).blocks == counted(MobileNetV2()).blocks[:-1]


def test_every_block_of_the_paper_network_matches_the_counts() -> None:
    blocks = counted(MobileNetV2()).blocks
    for block, entry in zip(blocks, COUNTS["blocks_width1_224"], strict=True):
        assert block.name == entry["block"]
        assert block.multiply_adds == entry["madds"]
        bias = 1000 if block.name == "classifier" else 0
        # Batch norm trains as many numbers as it keeps.
        assert block.parameters - block.batch_stats - bias == entry["kernel_params"]
        side, channels = entry["out_resolution"], entry["out_channels"]
        assert block.output_shape == ((side, side, channels) if block.name != "classifier" else (channels,))


def test_the_paper_network_has_the_papers_figures() -> None:
    total = counted(MobileNetV2())
    assert round(total.parameters / 1e6, 1) == 3.5
    assert round(total.multiply_adds / 1e6) == 301


def test_memory_peaks_where_the_first_expansion_meets_its_stride() -> None:
    total = counted(MobileNetV2())
    stem, first, second, third, *_ = total.blocks
    assert stem.peak_bytes == 4 * (224 * 224 * 3 + 112 * 112 * 32)
    assert first.peak_bytes == 4 * (112 * 112 * 32 + 112 * 112 * 32)
    # The 1×1 expansion holds 16 + 96 channels at full side; the depthwise 96 at full side and 96 at half.
    assert second.peak_bytes == 4 * max(112 * 112 * (16 + 96), 112 * 112 * 96 + 56 * 56 * 96)
    assert second.peak_bytes == total.peak_bytes == 4 * 1_505_280
    # With a shortcut the block's input is kept as well: 24 channels beside the depthwise's 144 and 144.
    assert third.peak_bytes == 4 * 56 * 56 * (24 + 144 + 144)


def test_memory_between_blocks_is_that_of_their_outputs() -> None:
    blocks = {block.name: block.output_bytes for block in counted(MobileNetV2()).blocks}
    assert blocks["stem"] == 4 * 112 * 112 * 32
    assert blocks["block_01"] == 4 * 56 * 56 * 24
    assert blocks["head"] == 4 * 7 * 7 * 1280
    assert blocks["classifier"] == 4 * 1000


def test_bfloat16_activations_take_half_the_memory() -> None:
    small = {"stages": (Stage(1, 8, 1, 1),), "num_classes": 5}
    exact, half = (counted(MobileNetV2(dtype=dtype, **small), 32) for dtype in (jnp.float32, jnp.bfloat16))
    assert exact.peak_bytes == 2 * half.peak_bytes
    assert exact.parameters == half.parameters


def test_images_may_have_another_number_of_channels() -> None:
    model = MobileNetV2(stages=(Stage(1, 8, 1, 1),), num_classes=5)
    gray, colour = (cost.count(model, 32, channels=channels).blocks[0] for channels in (1, 3))
    assert colour.multiply_adds == 3 * gray.multiply_adds == 9 * 3 * 32 * 16 * 16
