"""The published recipes: what each config makes of ImageNet's 1,281,167 images, at a few steps."""

import importlib
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.config import validate
from mobilenet_v2.data.pipeline import steps_of
from mobilenet_v2.data.transforms import Augment
from mobilenet_v2.training.optimizer import make_schedule

IMAGES = 1_281_167
RECIPES = ("imagenet", "imagenet_torchvision", "imagenet_torchvision_v2", "imagenet_timm", "imagenet_dli14")


def recipe(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


def rates(config: ConfigDict, steps: list[int]) -> list[float]:
    total, per_epoch = steps_of(range(IMAGES), config)
    schedule = make_schedule(config, total, per_epoch)
    return [float(jnp.asarray(schedule(jnp.asarray(step)))) for step in steps]


def steps_at(config: ConfigDict, epochs: list[float]) -> list[int]:
    """The first step of each epoch and part of one."""
    return [math.ceil(epoch * IMAGES / config.train.batch_size) for epoch in epochs]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_says_where_it_is_from(name: str) -> None:
    module = importlib.import_module(f"configs.{name}")
    validate(module.get_config())
    Augment.of(module.get_config())
    for part in (f"--config=configs/{name}.py", "Source: ", "% top-1", "We have not measured it."):
        assert part in (module.__doc__ or "")


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_follows_the_batch(name: str) -> None:
    config = recipe(name)
    peak = max(rates(config, [0, *steps_at(config, [5.0, 3.0])]))
    config.train.batch_size //= 4
    assert max(rates(config, [0, *steps_at(config, [5.0, 3.0])])) == pytest.approx(peak / 4, rel=1e-5)


def test_slims_rate_is_the_staircase_of_eight_gpus() -> None:
    config = recipe("imagenet")
    steps = [0, 4169, 4170, 8339, 8340, 41_700, 350_000, 699_999]
    expected = [0.36, 0.36, 0.3528, 0.3528, 0.345744, 0.29414621, 0.06730802, 0.01233267]
    np.testing.assert_allclose(rates(config, steps), expected, rtol=1e-4)
    assert steps_of(range(IMAGES), config)[0] == 700_000


def test_slims_rate_on_one_gpu_is_that_of_the_paper() -> None:
    config = recipe("imagenet")
    config.train.update(batch_size=96, num_steps=5_500_000)
    expected = [0.045, 0.045, 0.0441, 0.03676828, 0.00163791]
    np.testing.assert_allclose(rates(config, [0, 33_362, 33_363, 333_630, 5_499_999]), expected, rtol=1e-4)


def test_torchvisions_first_rate_falls_by_two_percent_an_epoch() -> None:
    config = recipe("imagenet_torchvision")
    expected = [0.045, 0.0441, 0.043218, 0.03676828, 0.01638764, 0.00596788, 0.00079146, 0.00010710]
    np.testing.assert_allclose(rates(config, steps_at(config, [0, 1, 2, 10, 50, 100, 200, 299])), expected, rtol=1e-3)


def test_torchvisions_second_rate_warms_up_and_is_a_cosine() -> None:
    config = recipe("imagenet_torchvision_v2")
    # torch's, once an epoch: 0.46920373, 0.25329990, 0.03404574; and half of the peak in the middle of the warm-up.
    observed = rates(config, steps_at(config, [0, 2.5, 5, 100, 300, 500, 600]))
    np.testing.assert_allclose(observed, [0, 0.25, 0.5, 0.46920373, 0.25329990, 0.03404574, 0], rtol=1e-3, atol=1e-6)


def test_torchvisions_average_is_that_of_32_steps_at_once() -> None:
    decay = 1 - (1 - 0.99998) * 1024 * 32 / 600
    assert recipe("imagenet_torchvision_v2").optimizer.ema_decay ** 32 == pytest.approx(decay, abs=1e-8)


def test_timms_rate_warms_up_and_falls_each_two_and_four_tenths_of_an_epoch() -> None:
    config = recipe("imagenet_timm")
    observed = rates(config, steps_at(config, [0, 1.5, 3, 4.9, 100, 449]))
    expected = [0, 0.024, *(0.048 * 0.97 ** math.floor(epoch / 2.4) for epoch in (3, 4.9, 100, 449))]
    # From the staircase's first epochs on: the warm-up goes to the peak.
    np.testing.assert_allclose(observed, expected, rtol=1e-3)


def test_dli14s_rate_is_a_cosine() -> None:
    config = recipe("imagenet_dli14")
    expected = [0.05, 0.04999452, 0.04986305, 0.0375, 0.0125, 5.482913e-06]
    np.testing.assert_allclose(rates(config, steps_at(config, [0, 1, 5, 50, 100, 149])), expected, rtol=2e-3)


@pytest.mark.parametrize(
    "name, fields",
    [
        (
            "imagenet",
            {"name": "rmsprop", "epsilon": 1.0, "weight_decay": 4e-5, "weight_decay_mask": "slim", "ema_decay": 0.9999},
        ),
        (
            "imagenet_torchvision",
            {"name": "sgd", "nesterov": False, "weight_decay": 4e-5, "weight_decay_mask": "all", "ema_decay": 0.0},
        ),
        (
            "imagenet_torchvision_v2",
            {"name": "sgd", "nesterov": False, "weight_decay": 2e-5, "weight_decay_mask": "kernels"},
        ),
        (
            "imagenet_timm",
            {
                "name": "rmsprop",
                "epsilon": 1e-3,
                "weight_decay": 1e-5,
                "weight_decay_mask": "kernels",
                "ema_decay": 0.9999,
            },
        ),
        (
            "imagenet_dli14",
            {"name": "sgd", "nesterov": False, "weight_decay": 4e-5, "weight_decay_mask": "all", "ema_decay": 0.0},
        ),
    ],
)
def test_a_recipe_decays_and_averages_as_its_source(name: str, fields: dict[str, Any]) -> None:
    optimizer = recipe(name).optimizer
    assert {field: optimizer[field] for field in fields} == fields


@pytest.mark.parametrize(
    "name, size, mean, padding, dropout, smoothing",
    [
        ("imagenet", None, 0.5, "same", 0.2, 0.1),
        ("imagenet_torchvision", 256, 0.485, "symmetric", 0.2, 0.0),
        ("imagenet_torchvision_v2", 232, 0.485, "symmetric", 0.2, 0.1),
        ("imagenet_timm", 256, 0.485, "symmetric", 0.2, 0.0),
        ("imagenet_dli14", 256, 0.485, "symmetric", 0.0, 0.0),
    ],
)
def test_a_recipe_has_its_sources_network_and_evaluation(
    name: str, size: int | None, mean: float, padding: str, dropout: float, smoothing: float
) -> None:
    config = recipe(name)
    observed = (config.data.resize_size, config.data.mean[0], config.model.padding)
    assert observed == (size, mean, padding)
    assert (config.model.dropout_rate, config.train.label_smoothing) == (dropout, smoothing)
    assert config.model.num_classes == 1000
