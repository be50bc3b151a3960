import json
import pathlib
from typing import Any

import h5py
import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES
from mobilenet_v2.weights.load import import_file, load_pretrained
from mobilenet_v2.weights.save import SUFFIXES, save_weights
from tests.models import random_networks
from tests.weights import files, small
from tests.weights.small import quiet


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
        ("w.weights.h5", "keras", "must not end in .weights.h5"),
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


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"activation": nn.relu}, "activation 'relu'; timm's own network has 'relu6'"),
        ({"residual": "none"}, "residual 'none'"),
        ({"linear_bottleneck": False}, "linear_bottleneck False"),
        ({"stem_stride": 1}, "stem_stride 1"),
        ({"output_stride": 16}, "output_stride 16"),
        ({"depthwise_order": "after_expansion", "padding": "same"}, "padding 'same'"),
        ({"stages": (PAPER_STAGES[0], *(row._replace(stride=1) for row in PAPER_STAGES[1:]))}, "strides of the stages"),
    ],
)
def test_every_field_that_changes_the_function_is_said(
    fields: dict[str, Any], message: str, tmp_path: pathlib.Path
) -> None:
    model = small.network(**fields)
    variables = small.network().init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    lines: list[str] = []
    save_weights(tmp_path / "w.safetensors", model, variables, names="timm", report=lines.append)
    assert [line for line in lines if message in line] == lines
    assert len(lines) == 1


@pytest.mark.parametrize("num_classes", [0, 1])
def test_a_network_of_one_class_or_none_is_written_and_read(num_classes: int, tmp_path: pathlib.Path) -> None:
    model = small.network(num_classes=num_classes)
    variables = model.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    save_weights(tmp_path / "w.safetensors", model, variables)
    assert load_pretrained(tmp_path / "w.safetensors", report=quiet)[0] == model


def test_how_a_network_is_computed_is_no_matter_of_the_file(tmp_path: pathlib.Path) -> None:
    variables = small.network().init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    save_weights(tmp_path / "w.safetensors", small.network(formulation="lax", remat="blocks"), variables)
    assert load_pretrained(tmp_path / "w.safetensors", report=quiet)[0] == small.network()


def described(folder: pathlib.Path, **fields: Any) -> pathlib.Path:
    """A file of ours whose description states other fields."""
    model = small.network()
    variables = model.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    save_weights(folder / "w.safetensors", model, variables)
    description = json.loads((folder / "w.json").read_text())
    description["model"] |= fields
    (folder / "w.json").write_text(json.dumps(description))
    return folder / "w.safetensors"


@pytest.mark.parametrize(
    "row, message",
    [
        ([6, -16, 1, 1], "channels -16 in stages"),
        ([6, "a", 1, 1], "channels 'a' in stages"),
        ([6, 16, 1, 0], "stride 0 in stages"),
        ([6, 16, 1, 2.5], "stride 2.5 in stages"),
        ([6, 16, 1], "must have expansion_factor, channels, repeats, stride"),
        ([6, 16, 1500, 1], "must hold those of 1500 blocks"),
    ],
)
def test_a_description_of_stages_that_can_t_be_is_refused(row: list[Any], message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match=message):
        load_pretrained(described(tmp_path, stages=[row]), report=quiet)


def test_what_old_files_say_of_how_it_is_computed_is_still_read(tmp_path: pathlib.Path) -> None:
    assert load_pretrained(described(tmp_path, formulation="lax", remat="none"), report=quiet)[0].formulation == "lax"


def test_a_later_version_of_our_format_is_refused_as_such(tmp_path: pathlib.Path) -> None:
    save_file(
        {"params/stem/conv/kernel": np.ones((3, 3, 3, 8), np.float32)}, tmp_path / "w", {"format": "mobilenet_v2 2"}
    )
    with pytest.raises(WeightsError, match="has format 'mobilenet_v2 2', must be 'mobilenet_v2 1'"):
        load_pretrained(tmp_path / "w", report=quiet)


def test_names_of_classes_are_kept(tmp_path: pathlib.Path) -> None:
    variables = small.network().init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    names = ("a", "é", "猫", "d", "e")
    save_weights(tmp_path / "w.safetensors", small.network(), variables, class_names=names)
    assert import_file(tmp_path / "w.safetensors", report=quiet).class_names == names
    with pytest.raises(WeightsError, match="class_names are 4, must be 5"):
        save_weights(tmp_path / "w.safetensors", small.network(), variables, class_names=names[:4])


@pytest.mark.parametrize(
    "names, message",
    [("abcde", "must be a list of text"), ([1] * 5, "a list of text"), (["a"], "states 1 class_names")],
)
def test_names_of_classes_that_can_t_be_are_refused(names: Any, message: str, tmp_path: pathlib.Path) -> None:
    path = described(tmp_path)
    description = json.loads((tmp_path / "w.json").read_text())
    (tmp_path / "w.json").write_text(json.dumps({**description, "class_names": names}))
    with pytest.raises(WeightsError, match=message):
        load_pretrained(path, report=quiet)
