import hashlib
import importlib.util
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.load import import_file, load_pretrained
from mobilenet_v2.weights.name_map import to_ours
from mobilenet_v2.weights.sources import BY_NAME, keras
from tests.weights import files, small
from tests.weights.small import quiet

SAFETENSORS_SOURCES = ["torchvision", "timm", "d-li14", "huggingface", "slim", "keras"]


def assert_are_the_weights_of(variables: Any, source: str) -> None:
    expected, _ = to_ours("", BY_NAME[source], small.arrays(source))
    found = flatten_dict(variables, sep="/")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def numbered(arrays: Arrays) -> Arrays:
    """As Keras 3 numbers layers within their classes."""
    return keras._numbered(arrays)


@pytest.mark.parametrize("source", SAFETENSORS_SOURCES)
def test_a_file_is_recognised_by_its_names_and_read_to_the_bit(source: str, tmp_path: pathlib.Path) -> None:
    save_file(small.arrays(source), tmp_path / "file")
    model, variables = load_pretrained(tmp_path / "file", report=quiet)
    assert (model.num_classes, model.width_multiplier, model.head_rule) == (
        small.CLASSES,
        small.width(source),
        "shrink",
    )
    assert_are_the_weights_of(variables, source)


@pytest.mark.parametrize(
    "source, padding, epsilon, momentum",
    [
        ("torchvision", "symmetric", 1e-5, 0.9),
        ("timm", "symmetric", 1e-5, 0.9),
        ("huggingface", "same", 1e-3, 0.003),
        ("keras", "same", 1e-3, 0.999),
        ("slim", "same", 1e-3, 0.997),
    ],
)
def test_padding_and_batch_norm_are_the_source_s(
    source: str, padding: str, epsilon: float, momentum: float, tmp_path: pathlib.Path
) -> None:
    save_file(small.arrays(source), tmp_path / "file")
    model, _ = load_pretrained(tmp_path / "file", report=quiet)
    assert (model.padding, model.batch_norm_epsilon, model.batch_norm_momentum) == (padding, epsilon, momentum)
    another = "symmetric" if padding == "same" else "same"
    other, _ = load_pretrained(tmp_path / "file", fields={"padding": another}, report=quiet)
    assert other.padding == another


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize(
    "key, prefix",
    [("", ""), ("state_dict", "module."), ("model_state_dict", "_orig_mod."), ("model", "module._orig_mod.")],
)
def test_a_pth_file_is_read_bare_or_inside_a_training_checkpoint(key: str, prefix: str, tmp_path: pathlib.Path) -> None:
    import torch

    state: dict[str, Any] = {name: torch.tensor(array) for name, array in small.arrays("torchvision").items()}
    state["features.0.1.num_batches_tracked"] = torch.tensor(3)
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save({key: named, "epoch": 3} if key else named, tmp_path / "file.pth")
    _, variables = load_pretrained(tmp_path / "file.pth", report=quiet)
    assert_are_the_weights_of(variables, "torchvision")


@pytest.mark.parametrize("nested", ["", "mobilenetv2_0.10_160"])
def test_a_legacy_keras_file_is_read_flat_or_nested(nested: str, tmp_path: pathlib.Path) -> None:
    files.write_legacy_h5(tmp_path / "file", small.arrays("keras"), nested=nested)
    _, variables = load_pretrained(tmp_path / "file", report=quiet)
    assert_are_the_weights_of(variables, "keras")


def test_a_legacy_keras_file_with_other_layer_names_is_read_by_order(tmp_path: pathlib.Path) -> None:
    arrays = small.arrays("keras")
    rename = {name.split("/")[0]: f"layer_{index}" for index, name in enumerate(arrays)}
    files.write_legacy_h5(tmp_path / "file", arrays, rename=rename)
    _, variables = load_pretrained(tmp_path / "file", report=quiet)
    assert_are_the_weights_of(variables, "keras")


def test_a_keras_3_file_is_read_by_the_numbers_of_its_layers(tmp_path: pathlib.Path) -> None:
    files.write_keras_3(tmp_path / "file.keras", numbered(small.arrays("keras")))
    _, variables = load_pretrained(tmp_path / "file.keras", report=quiet)
    assert_are_the_weights_of(variables, "keras")


def test_a_classifier_of_a_user_s_own_name_is_the_network_s(tmp_path: pathlib.Path) -> None:
    arrays = {name.replace("predictions", "breeds"): array for name, array in small.arrays("keras").items()}
    files.write_legacy_h5(tmp_path / "file", arrays)
    _, variables = load_pretrained(tmp_path / "file", report=quiet)
    assert_are_the_weights_of(variables, "keras")


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001"])
def test_a_checkpoint_s_moving_averages_are_preferred_and_slots_ignored(suffix: str, tmp_path: pathlib.Path) -> None:
    averaged = small.arrays("slim")
    raw = {name: array * 2 for name, array in averaged.items()}
    shadows = {f"{name}/ExponentialMovingAverage": array for name, array in averaged.items()}
    only_raw = "MobilenetV2/Conv/BatchNorm/moving_mean"
    del shadows[f"{only_raw}/ExponentialMovingAverage"]
    raw[only_raw] = averaged[only_raw]
    others: Arrays = {
        "global_step": np.array(7),
        "MobilenetV2/Conv/weights/RMSProp_1": averaged["MobilenetV2/Conv/weights"],
    }
    files.write_checkpoint(tmp_path / "model.ckpt-7", {**raw, **shadows, **others})
    _, variables = load_pretrained(tmp_path / f"model.ckpt-7{suffix}", report=quiet)
    assert_are_the_weights_of(variables, "slim")


def test_half_precision_is_widened_to_float32(tmp_path: pathlib.Path) -> None:
    halves = {name: array.astype(jnp.bfloat16) for name, array in small.arrays("timm").items()}
    save_file(halves, tmp_path / "file")
    _, variables = load_pretrained(tmp_path / "file", report=quiet)
    kernel = variables["params"]["stem"]["conv"]["kernel"]
    assert kernel.dtype == jnp.float32
    np.testing.assert_array_equal(kernel[..., 0, 0], halves["conv_stem.weight"][0, 0].astype(np.float32))


def test_another_number_of_classes_draws_a_classifier_and_says_so(tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("timm"), tmp_path / "file")
    lines: list[str] = []
    model, variables = load_pretrained(tmp_path / "file", 3, report=lines.append)
    assert "classifier of 5 classes is replaced by a new one of 3" in lines[-1]
    assert model.num_classes == 3
    assert variables["params"]["classifier"]["kernel"].shape == (128, 3)
    _, again = load_pretrained(tmp_path / "file", 3, report=quiet)
    np.testing.assert_array_equal(variables["params"]["classifier"]["kernel"], again["params"]["classifier"]["kernel"])
    images = jnp.zeros((1, 32, 32, 3))
    assert jax.eval_shape(lambda v: model.apply(v, images, train=False), variables).shape == (1, 3)


def test_of_1001_classes_the_background_is_dropped_for_1000(tmp_path: pathlib.Path) -> None:
    arrays = small.arrays("slim")
    scope = "MobilenetV2/Logits/Conv2d_1c_1x1"
    arrays[f"{scope}/weights"] = np.ones((1, 1, 128, 1001), np.float32)
    arrays[f"{scope}/biases"] = np.arange(1001, dtype=np.float32)
    save_file(arrays, tmp_path / "file")
    model, variables = load_pretrained(tmp_path / "file", 1000, report=quiet)
    assert model.num_classes == 1000
    np.testing.assert_array_equal(variables["params"]["classifier"]["bias"], np.arange(1, 1001))


def test_weights_without_a_classifier_need_the_number_of_classes(tmp_path: pathlib.Path) -> None:
    arrays = {name: array for name, array in small.arrays("keras").items() if not name.startswith("predictions")}
    files.write_legacy_h5(tmp_path / "file", arrays)
    with pytest.raises(WeightsError, match="no classifier; num_classes must say"):
        load_pretrained(tmp_path / "file", report=quiet)
    model, _ = load_pretrained(tmp_path / "file", 4, report=quiet)
    assert model.num_classes == 4


def test_what_is_read_is_said_with_its_sha256(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(small.arrays("timm"), tmp_path / "file")
    load_pretrained(tmp_path / "file")
    assert "file: timm, 262 arrays, sha256 " in capsys.readouterr().out


def test_a_negative_number_of_classes_is_refused(tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("timm"), tmp_path / "file")
    with pytest.raises(WeightsError, match="num_classes is -3, must be at least 0"):
        load_pretrained(tmp_path / "file", -3, report=quiet)


def test_a_checkpoint_s_sha256_covers_its_data(tmp_path: pathlib.Path) -> None:
    files.write_checkpoint(tmp_path / "m", small.arrays("slim"))
    content = b"".join((tmp_path / f"m.{part}").read_bytes() for part in ("index", "data-00000-of-00001"))
    found = import_file(tmp_path / "m", report=quiet)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_a_safetensors_header_as_long_as_a_pickle_s_first_bytes_is_read(tmp_path: pathlib.Path) -> None:
    save_file(small.arrays("timm"), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    length, padded = int.from_bytes(content[:8], "little"), 0x10280
    while padded & 0xFFFF != 0x0280 or padded < length:
        padded += 1
    header = content[8 : 8 + length].ljust(padded)
    (tmp_path / "file").write_bytes(padded.to_bytes(8, "little") + header + content[8 + length :])
    assert (tmp_path / "file").read_bytes()[:2] == b"\x80\x02"
    load_pretrained(tmp_path / "file", report=quiet)


def test_checkpoint_data_without_its_index_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(WeightsError, match=r"'m\.data-00000-of-00001' needs 'm\.index' beside it"):
        load_pretrained(tmp_path / "m.data-00000-of-00001", report=quiet)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_a_negated_view_of_torch_s_is_read_with_its_sign(tmp_path: pathlib.Path) -> None:
    import torch

    state = {name: torch.tensor(array) for name, array in small.arrays("torchvision").items()}
    state["features.0.0.weight"] = torch._neg_view(-state["features.0.0.weight"])
    torch.save(state, tmp_path / "file.pth")
    _, variables = load_pretrained(tmp_path / "file.pth", report=quiet)
    assert_are_the_weights_of(variables, "torchvision")
