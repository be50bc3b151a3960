import pathlib

import h5py
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.load import load_pretrained
from mobilenet_v2.weights.save import SUFFIXES, save_weights
from tests.models import random_networks
from tests.weights import files, small
from tests.weights.test_load import quiet


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("weights") / "original"
    save_file(small.arrays("timm"), path)
    return path


@pytest.mark.parametrize("names", SUFFIXES)
def test_what_is_written_is_read_back_to_the_bit(names: str, original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = load_pretrained(original, report=quiet)
    save_weights(tmp_path / f"w{SUFFIXES[names]}", model, variables, names=names, report=quiet)
    _, again = load_pretrained(tmp_path / f"w{SUFFIXES[names]}", report=quiet)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_our_own_pair_brings_back_the_network_with_all_its_fields(tmp_path: pathlib.Path) -> None:
    model = small.network(padding="same", batch_norm_epsilon=0.002, dropout_rate=0.3, expansion_factor=2)
    variables = model.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    written = save_weights(tmp_path / "w.safetensors", model, variables)
    assert [path.name for path in written] == ["w.safetensors", "w.json"]
    again, _ = load_pretrained(tmp_path / "w.safetensors", report=quiet)
    assert again == model


def test_what_training_froze_is_no_matter_of_the_file(tmp_path: pathlib.Path) -> None:
    model = random_networks.small()
    variables = random_networks.random_variables(model, random_networks.images(1, 8, 8, 3))
    save_weights(tmp_path / "w.safetensors", model.clone(frozen="backbone"), variables)
    assert load_pretrained(tmp_path / "w.safetensors", report=quiet)[0] == model


def test_timm_s_file_has_the_arrays_that_it_was_read_from(original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = load_pretrained(original, report=quiet)
    save_weights(tmp_path / "w.safetensors", model, variables, names="timm")
    written, read = load_file(tmp_path / "w.safetensors"), load_file(original)
    assert written.keys() == read.keys()
    for name in read:
        np.testing.assert_array_equal(written[name], read[name])


def test_keras_s_file_lists_layers_and_weights_as_keras_does(original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = load_pretrained(original, report=quiet)
    save_weights(tmp_path / "w.h5", model, variables, names="keras", report=quiet)
    with h5py.File(tmp_path / "w.h5") as file:
        assert list(file.attrs["layer_names"][:3]) == ["Conv1", "bn_Conv1", "expanded_conv_depthwise"]
        expected = [f"bn_Conv1/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")]
        assert list(file["bn_Conv1"].attrs["weight_names"]) == expected
        assert file["block_1_depthwise/block_1_depthwise/kernel"].shape == (3, 3, 48, 1)


def test_another_padding_than_the_library_s_is_said(original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = load_pretrained(original, report=quiet)
    lines: list[str] = []
    save_weights(tmp_path / "w.h5", model, variables, names="keras", report=lines.append)
    assert lines[0] == "these weights need padding 'symmetric'; keras's own network has 'same'"


@pytest.mark.parametrize(
    "name, names, message",
    [
        ("w.bin", "ours", "must end in .safetensors"),
        ("w.safetensors", "keras", "must end in .h5"),
        ("w.safetensors", "tim", "did you mean 'timm'"),
        ("absent/w.safetensors", "ours", "a folder that exists"),
    ],
)
def test_a_path_or_name_that_can_t_be_is_refused(
    name: str, names: str, message: str, original: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model, variables = load_pretrained(original, report=quiet)
    with pytest.raises(WeightsError, match=message):
        save_weights(tmp_path / name, model, variables, names=names)
    assert list(tmp_path.iterdir()) == []


def test_variables_of_another_network_are_refused(original: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _, variables = load_pretrained(original, report=quiet)
    with pytest.raises(WeightsError, match="params/classifier/bias: \\(5,\\) for \\(6,\\)"):
        save_weights(tmp_path / "w.safetensors", small.network(num_classes=6), variables)


def test_a_network_that_a_library_has_no_names_for_is_refused(tmp_path: pathlib.Path) -> None:
    model = small.network(expansion_factor=1)
    variables = model.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    with pytest.raises(WeightsError, match=r"timm has no such mobilenet_v2.*block_01/expand"):
        save_weights(tmp_path / "w.safetensors", model, variables, names="timm", report=quiet)


def test_arrays_of_slim_written_as_ours_keep_their_values(tmp_path: pathlib.Path) -> None:
    files.write_checkpoint(tmp_path / "model.ckpt", small.arrays("slim"))
    model, variables = load_pretrained(tmp_path / "model.ckpt", report=quiet)
    save_weights(tmp_path / "w.safetensors", model, variables, source="slim")
    stored = load_file(tmp_path / "w.safetensors")
    for name, leaf in flatten_dict(variables, sep="/").items():
        np.testing.assert_array_equal(stored[name], leaf)
