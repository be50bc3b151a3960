import json
import pathlib
from typing import Any

import jax
import pytest
from safetensors.numpy import save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.load import load_pretrained
from mobilenet_v2.weights.sources import BY_NAME
from tests.weights import formula, small
from tests.weights.small import quiet


def test_huggingface_s_config_beside_the_weights_is_believed(tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("huggingface"), tmp_path / "model.safetensors")
    config = {"model_type": "mobilenet_v2", "tf_padding": False, "layer_norm_eps": 0.01, "classifier_dropout_prob": 0.1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, _ = load_pretrained(tmp_path, report=quiet)
    assert (model.padding, model.batch_norm_epsilon, model.dropout_rate) == ("symmetric", 0.01, 0.1)


@pytest.mark.parametrize(
    "key, value",
    [
        ("model_type", "mobilenet_v1"),
        ("tf_padding", "false"),
        ("hidden_act", "gelu"),
        ("first_layer_is_expansion", False),
        ("output_stride", 4),
        ("layer_norm_eps", -1),
        ("classifier_dropout_prob", 1.5),
    ],
)
def test_a_config_of_huggingface_s_that_ours_can_t_be_is_refused(key: str, value: Any, tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("huggingface"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mobilenet_v2", key: value}))
    with pytest.raises(WeightsError, match=rf"config\.json states {key} {value!r}"):
        load_pretrained(tmp_path, report=quiet)


def test_huggingface_s_activation_is_ours_by_another_name(tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("huggingface"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mobilenet_v2", "hidden_act": "silu"}))
    model, _ = load_pretrained(tmp_path, report=quiet)
    assert model.activation is jax.nn.silu


def test_huggingface_s_network_without_a_shortcut_in_block_00_is_refused(tmp_path: pathlib.Path) -> None:
    arrays = formula.weights(BY_NAME["huggingface"], small.shapes(small.network()))
    save_file(arrays, tmp_path / "file")
    with pytest.raises(WeightsError, match="8 channels in its stem and in block 00"):
        load_pretrained(tmp_path / "file", report=quiet)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"[]"])
def test_a_config_that_is_no_json_object_is_one_error(content: bytes, tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("huggingface"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"'config\.json' (is damaged|holds a list)"):
        load_pretrained(tmp_path, report=quiet)
