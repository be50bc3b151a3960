import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.data.transforms import Preprocess
from mobilenet_v2.errors import DataError
from mobilenet_v2.training import metrics
from mobilenet_v2.training.evaluation import evaluate_split, evaluate_state
from mobilenet_v2.training.setup import Setup, make_setup
from tests import tiny

COUNTS = (360, 359, 1)


def make_config(data_dir: str) -> ConfigDict:
    config = tiny.get_config()
    config.data.data_dir = data_dir
    config.train.batch_size = 128
    return config


def trained_looking_variables(setup: Setup) -> dict[str, Any]:
    """Statistics that are not 0 and 1, and logits that differ between images."""
    rng = np.random.default_rng(0)
    variables = jax.device_get(setup.create_state().variables)

    def randomized(path: Any, leaf: np.ndarray) -> np.ndarray:
        name = path[-1].key
        if name == "mean":
            return rng.normal(0.0, 0.2, leaf.shape).astype(np.float32)
        if name == "var":
            return rng.uniform(0.2, 2.0, leaf.shape).astype(np.float32)
        if path[1].key == "classifier":
            return rng.normal(0.0, 2.0, leaf.shape).astype(np.float32)
        return leaf

    return jax.tree_util.tree_map_with_path(randomized, variables)


def expected_scores(setup: Setup, variables: dict[str, Any], source: Any) -> dict[str, float]:
    """In NumPy, over the whole split at once."""
    data = setup.config.data
    examples = [Preprocess.of(data).map(source[index]) for index in range(len(source))]
    pixels = np.stack([one["image"] for one in examples]).astype(np.float32) / 255
    images = (pixels - np.float32(data.mean)) / np.float32(data.std)
    labels = np.array([one["label"] for one in examples])
    logits = np.asarray(setup.model.apply(variables, images, train=False), np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "loss": -log_p[np.arange(len(labels)), labels].mean(),
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
    }


def assert_exact(data_dir: str, devices: int) -> None:
    """On as many devices as this process has, which must be `devices`."""
    setup = make_setup(make_config(data_dir))
    assert setup.mesh.size == devices
    variables = trained_looking_variables(setup)
    for count in COUNTS:
        source = setup.dataset.split(f"train[:{count}]")
        sums = evaluate_split(setup.eval_step, variables, source, setup.config, setup.mesh)
        expected = expected_scores(setup, variables, source)
        assert sums["count"] == count
        found = metrics.means(sums)
        assert found["accuracy"] == expected["accuracy"]
        np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
        if count > 1:
            assert 0 < expected["accuracy"] < 1


@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_scores_are_exact_whatever_the_size_of_the_split_and_the_number_of_devices(devices: int, data_dir: str) -> None:
    program = f"from tests.training.test_evaluation import assert_exact; assert_exact({data_dir!r}, {devices})"
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_averaged_variables_get_scores_of_their_own(data_dir: str) -> None:
    setup = make_setup(make_config(data_dir))
    source, state = setup.splits["validation"], setup.create_state()
    averaged = trained_looking_variables(setup)
    state = state.replace(ema_params=averaged["params"], ema_batch_stats=averaged["batch_stats"])
    scores = evaluate_state(setup.eval_step, state, source, setup.config, setup.mesh)
    assert scores["ema_accuracy"] == expected_scores(setup, averaged, source)["accuracy"]
    assert scores["ema_loss"] != scores["loss"]
    alone = evaluate_state(
        setup.eval_step, state.replace(ema_params=None, ema_batch_stats=None), source, setup.config, setup.mesh
    )
    assert alone == {"loss": scores["loss"], "accuracy": scores["accuracy"]}


@pytest.mark.parametrize("allowed", [0.01, 0.05])
def test_unreadable_images_are_left_out_unless_they_are_too_many(allowed: float, data_dir: str) -> None:
    config = make_config(data_dir)
    config.data.max_unreadable = allowed
    setup = make_setup(config)
    variables = trained_looking_variables(setup)
    records = [setup.splits["validation"][index] for index in range(50)]
    damaged = [{**records[0], "image": b"damaged"}, *records[1:]]
    if allowed < 1 / 50:
        with pytest.raises(DataError, match=r"1 of 50 images can't be decoded.*0\.01 \(config\.data\.max_unreadable\)"):
            evaluate_split(setup.eval_step, variables, damaged, config, setup.mesh)
    else:
        sums = evaluate_split(setup.eval_step, variables, damaged, config, setup.mesh)
        assert sums["count"] == 49
        rest = evaluate_split(setup.eval_step, variables, records[1:], config, setup.mesh)
        assert sums["correct"] == rest["correct"]
        np.testing.assert_allclose(sums["loss"], rest["loss"], rtol=1e-5)
