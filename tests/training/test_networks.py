"""Every network, every ablation and grey images go through the one training, summary and evaluation."""

import json
import pathlib
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.commands import evaluate
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model
from mobilenet_v2.training import loop
from mobilenet_v2.training.optimizer import decay_mask

V1 = {"name": "mobilenet_v1", "separable_stages": ((16, 1, 1), (24, 1, 2))}


@pytest.mark.slow
def test_mobilenet_v1_trains_and_is_scored_as_v2_is(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config.model.update(V1)
    result = loop.run(tiny_config, str(tmp_path))
    counted = cost.count(build_model(tiny_config.model), 16)
    assert [block.name for block in counted.blocks] == ["stem", "block_00", "block_01", "classifier"]
    assert (result["parameters"], result["multiply_adds"]) == (counted.parameters, counted.multiply_adds)
    capsys.readouterr()
    evaluate.main(["evaluate", f"--workdir={tmp_path}", "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["test"]["accuracy"] == result["test"]["accuracy"]


@pytest.mark.slow
def test_grey_images_train(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.data.update(channels=1, mean=(0.305,), std=(0.323,))
    result = loop.run(tiny_config, str(tmp_path))
    colour = cost.count(build_model(tiny_config.model), 16)
    stem = 9 * colour.blocks[0].output_shape[-1]
    assert result["parameters"] == colour.parameters - 2 * stem
    assert result["multiply_adds"] == colour.multiply_adds - 2 * stem * 16 * 16


@pytest.mark.parametrize(
    "fields",
    [
        {"linear_bottleneck": False, "residual": "expansions", "batch_norm_unbiased": True},
        {"batch_norm_placement": "not_after_depthwise", "depthwise_order": "before_expansion", "output_stride": 2},
    ],
)
def test_changed_networks_train(fields: dict[str, Any], tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.model.update(fields)
    tiny_config.train.update(num_steps=4)
    assert loop.run(tiny_config, str(tmp_path))["steps"] == 4


def test_slim_decays_pointwise_kernels_of_v1_and_no_depthwise_ones() -> None:
    model = build_model({"name": "mobilenet_v1"})
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)), train=False))
    assert sum(jax.tree.leaves(decay_mask("slim")(shapes["params"]))) == 1 + 13 + 1
