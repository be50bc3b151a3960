import functools
import hashlib
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from configs import default
from mobilenet_v2.data.pipeline import evaluation_batches
from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.training import checkpoint, loop, warm_start
from mobilenet_v2.training.evaluation import evaluate_state
from mobilenet_v2.training.setup import make_setup
from mobilenet_v2.training.steps import normalize
from mobilenet_v2.weights.load import load_pretrained
from mobilenet_v2.weights.save import save_weights
from tests.models.random_networks import random_variables
from tests.weights import small
from tests.weights.small import quiet


def write_weights(path: pathlib.Path, config: ConfigDict, **fields: Any) -> str:
    """A file of ours with random weights for the network of `config`, but for these fields."""
    model = build_model({**config.model, **fields})
    variables = random_variables(model, np.zeros((1, 16, 16, config.data.channels), np.float32))
    save_weights(path, model, variables, report=quiet)
    return str(path)


def restored(run: pathlib.Path) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint, by path."""
    manager = checkpoint.open_reader(run / "checkpoints")
    latest = checkpoint.restore_latest(manager, None, read_only=True)
    manager.close()
    assert latest is not None
    return {jax.tree_util.keystr(p): np.asarray(leaf) for p, leaf in jax.tree.leaves_with_path(latest.state)}


def by_path(variables: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(variables, sep="/").items()}


def assert_bit_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []


def test_before_its_first_step_a_run_computes_what_the_file_s_network_does(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    tiny_config.init_from = write_weights(tmp_path / "file.safetensors", tiny_config)
    setup = make_setup(tiny_config)
    state = setup.create_state(warm_start.load(tiny_config).arrays)
    model, variables = load_pretrained(tmp_path / "file.safetensors", report=quiet)
    assert_bit_equal(by_path(state.variables), by_path(variables))
    assert_bit_equal(by_path(state.ema_variables), by_path(variables))
    scores = evaluate_state(setup.eval_step, state, setup.splits["validation"], tiny_config, setup.mesh)
    apply = jax.jit(functools.partial(model.apply, train=False))
    correct = 0.0
    for batch in evaluation_batches(setup.splits["validation"], tiny_config):
        logits = apply(variables, normalize(jnp.asarray(batch["image"]), tiny_config))
        correct += float(((logits.argmax(-1) == batch["label"]) * batch["mask"]).sum())
    assert scores["accuracy"] == scores["ema_accuracy"] == pytest.approx(correct / 50)


@pytest.fixture
def run(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of a finished run of ten classes."""
    tiny_config.train.num_steps = 2
    loop.run(tiny_config, str(tmp_path / "source"))
    return tmp_path / "source"


@pytest.mark.parametrize("averaged", [True, False])
def test_a_run_gives_its_averages_where_it_keeps_them(
    averaged: bool, tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    tiny_config.train.num_steps = 2
    tiny_config.optimizer.ema_decay = 0.99 if averaged else 0.0
    loop.run(tiny_config, str(tmp_path / "source"))
    tiny_config.init_from = str(tmp_path / "source")
    start = warm_start.load(tiny_config)
    theirs = restored(tmp_path / "source")
    prefix = "ema_params" if averaged else "params"
    found = start.arrays["params/stem/conv/kernel"]
    np.testing.assert_array_equal(found, theirs[f"['{prefix}']['stem']['conv']['kernel']"])
    assert averaged == any("averaged variables of step 2" in line for line in start.notes)
    assert start.record is not None
    assert start.record["file"] == str(tmp_path / "source" / "checkpoints" / "2")


def test_of_a_run_of_other_classes_all_but_the_classifier_is_taken(tiny_config: ConfigDict, run: pathlib.Path) -> None:
    tiny_config.init_from = str(run)
    tiny_config.model.num_classes = 12
    tiny_config.optimizer.name = "sgd"
    tiny_config.seed = 3
    start = warm_start.load(tiny_config)
    assert "the classifier of 10 classes is replaced by a new one of 12, seed 3" in start.notes
    setup = make_setup(tiny_config)
    state, drawn = by_path(setup.create_state(start.arrays).variables), by_path(setup.create_state().variables)
    assert not np.array_equal(state["params/head/conv/kernel"], drawn["params/head/conv/kernel"])
    assert state["params/classifier/kernel"].shape == (32, 12)
    np.testing.assert_array_equal(state["params/classifier/kernel"], drawn["params/classifier/kernel"])


def test_a_classifier_that_is_kept_for_other_classes_is_told(tiny_config: ConfigDict, run: pathlib.Path) -> None:
    tiny_config.init_from = str(run)
    start, names = warm_start.load(tiny_config), make_setup(tiny_config).data.class_names
    assert start.other_classes(names) is None
    assert start.other_classes(("zero", *names[1:])) == (
        "warning: the classifier is kept, whose class '0' is now 'zero'; names that differ: 1"
    )


def test_a_killed_run_goes_on_without_the_file_and_ends_bit_equal(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.init_from = write_weights(tmp_path / "file.safetensors", tiny_config, num_classes=7)
    loop.run(tiny_config, str(tmp_path / "whole"))

    class Killed(BaseException):
        pass

    def dies_at_step_6(self: loop.Writers, event: str, step: int, **values: float) -> None:
        write_row(self, event, step, **values)
        if step == 6:
            raise Killed

    write_row = loop.Writers.write
    monkeypatch.setattr(loop.Writers, "write", dies_at_step_6)
    with pytest.raises(Killed):
        loop.run(tiny_config, str(tmp_path / "cut"))
    monkeypatch.setattr(loop.Writers, "write", write_row)
    for path in tmp_path.glob("file.*"):
        path.unlink()
    loop.run(tiny_config, str(tmp_path / "cut"))
    assert_bit_equal(restored(tmp_path / "cut"), restored(tmp_path / "whole"))
    starts = json.loads((tmp_path / "cut" / "environment.json").read_text())
    assert ["started_from" in start for start in starts] == [True, False]


def test_what_was_loaded_is_said_and_recorded(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.safetensors"
    tiny_config.init_from = write_weights(path, tiny_config, num_classes=7)
    tiny_config.train.num_steps = 2
    loop.run(tiny_config, str(tmp_path / "run"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = json.loads((tmp_path / "run" / "environment.json").read_text())[0]["started_from"]
    assert record == {"init_from": str(path), "file": str(path), "source": "mobilenet_v2", "sha256": digest}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"sha256 {digest[:12]}…")  # the record has all of it
    assert lines[1] == "the classifier of 7 classes is replaced by a new one of 10, seed 0"
    assert lines[2].startswith("devices: ")


def published(tmp_path: pathlib.Path, source: str, **model: Any) -> ConfigDict:
    """The config of the small network, to be started from a file under the names of `source`."""
    arrays = small.arrays(source)
    if source == "slim":
        scope = "MobilenetV2/Logits/Conv2d_1c_1x1"
        arrays[f"{scope}/weights"] = np.ones((1, 1, 128, 1001), np.float32)
        arrays[f"{scope}/biases"] = np.arange(1001, dtype=np.float32)
    save_file(arrays, tmp_path / "file")
    config = default.get_config()
    config.init_from = str(tmp_path / "file")
    config.model.update({"width_multiplier": 0.1, "head_rule": "shrink", "num_classes": small.CLASSES, **model})
    return config


def warned(config: ConfigDict) -> list[str]:
    lines = [line for line in warm_start.load(config).notes if line.startswith("warning: ")]
    assert all(line.endswith("; accuracy may suffer") for line in lines)
    return [line.removeprefix("warning: ").removesuffix("; accuracy may suffer") for line in lines]


def test_a_line_says_where_strides_are_not_as_in_the_source(tmp_path: pathlib.Path) -> None:
    config = published(tmp_path, "slim", num_classes=1000, stem_stride=1, output_stride=16)
    config.model.stages = (*config.model.stages[:5], (None, 160, 3, 1), config.model.stages[6])
    config.model.separable_stages = ((8, 1, 1),)
    warnings = warned(config)
    name = repr(config.init_from)
    assert warnings == [
        f"config.model.stem_stride: 1 here, but 2 in {name}",
        f"config.model.output_stride: 16 here, but None in {name}",
        f"strides of the stages: (1, 2, 2, 2, 1, 1, 1) here, but (1, 2, 2, 2, 1, 2, 1) in {name}",
    ]


def test_a_line_says_which_fields_are_not_as_in_the_source(tmp_path: pathlib.Path) -> None:
    config = published(tmp_path, "timm", activation="swish")
    assert warned(config) == [
        f"config.model.padding: 'same' here, but 'symmetric' in {config.init_from!r}",
        f"config.model.batch_norm_epsilon: 0.001 here, but 1e-05 in {config.init_from!r}",
        f"config.model.activation: 'swish' here, but 'relu6' in {config.init_from!r}",
        f"config.data.mean: (0.5, 0.5, 0.5) here, but (0.485, 0.456, 0.406) in {config.init_from!r}",
        f"config.data.std: (0.5, 0.5, 0.5) here, but (0.229, 0.224, 0.225) in {config.init_from!r}",
    ]
    config.data.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    config.model.update(padding="symmetric", batch_norm_epsilon=1e-5, activation="relu6")
    assert warned(config) == []


def test_a_run_states_its_normalisation_as_well(tiny_config: ConfigDict, run: pathlib.Path) -> None:
    tiny_config.init_from = str(run)
    assert len(warm_start.load(tiny_config).notes) == 1
    tiny_config.data.mean = (0.5, 0.5, 0.5)
    note = warm_start.load(tiny_config).notes[-1]
    assert note.startswith("warning: config.data.mean: (0.5, 0.5, 0.5) here, but (0.305, 0.305, 0.305) in ")


def test_of_1001_classes_the_background_is_dropped_for_1000(tmp_path: pathlib.Path) -> None:
    start = warm_start.load(published(tmp_path, "slim", num_classes=1000))
    np.testing.assert_array_equal(start.arrays["params/classifier/bias"], np.arange(1, 1001))
    assert start.arrays["params/classifier/kernel"].shape == (128, 1000)
    assert "of 1001 classes the background, class 0, is dropped" in start.notes


def test_for_grey_images_the_stem_is_summed_over_colours(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.init_from = write_weights(tmp_path / "file.safetensors", tiny_config)
    tiny_config.data.update(channels=1, mean=(0.305,), std=(0.323,))
    start = warm_start.load(tiny_config)
    model, variables = load_pretrained(tmp_path / "file.safetensors", report=quiet)
    grey = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    apply = jax.jit(functools.partial(model.apply, train=False))
    ours = apply(make_setup(tiny_config).create_state(start.arrays).variables, grey)
    theirs = apply(variables, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
    assert (
        "images are grey: the stem's kernel is summed over its 3 colours, as if all had the same mean and std"
        in start.notes
    )


def test_grey_weights_do_not_fit_colour_images(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.data.channels = 1
    tiny_config.init_from = write_weights(tmp_path / "file.safetensors", tiny_config)
    tiny_config.data.channels = 3
    with pytest.raises(WeightsError, match=r"stem/conv/kernel: \(3, 3, 1, 8\) for \(3, 3, 3, 8\)"):
        warm_start.load(tiny_config)
