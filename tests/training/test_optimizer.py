import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import default
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2
from mobilenet_v2.training.optimizer import decay_mask, effective_ema_decay, make_optimizer, make_schedule, update_ema

REFERENCE = json.loads((pathlib.Path(__file__).parents[1] / "reference" / "optimizer_traces.json").read_text())


def config_with(**fields: Any) -> ConfigDict:
    config = default.get_config()
    config.optimizer.update(fields)
    return config


def trace_name(trace: dict[str, Any]) -> str:
    settings = trace["settings"]
    keys = ("epsilon", "momentum", "nesterov", "weight_decay")
    values = [f"{key}={settings[key]:g}" for key in keys if key in settings]
    return "-".join([trace["optimizer"], trace["variable"], *values])


@pytest.mark.parametrize("trace", REFERENCE["traces"], ids=trace_name)
def test_every_step_is_that_of_the_source(trace: dict[str, Any]) -> None:
    settings = trace["settings"]
    config = config_with(
        name={"tf1_rmsprop": "rmsprop", "torch_sgd": "sgd"}[trace["optimizer"]],
        momentum=settings["momentum"],
        nesterov=settings.get("nesterov", True),
        decay=settings.get("decay", 0.9),
        epsilon=settings.get("epsilon", 1.0),
        weight_decay=settings["weight_decay"],
        weight_decay_mask="all",
    )
    rates = jnp.asarray(REFERENCE["learning_rates"])
    optimizer: Any = make_optimizer(config, lambda step: rates[step])
    params: Any = {"kernel": jnp.asarray(REFERENCE["initial"][trace["variable"]])}
    state = optimizer.init(params)
    for gradient, expected in zip(REFERENCE["gradients"][trace["variable"]], trace["param"], strict=True):
        updates, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "adamw"])
def test_the_backbone_s_updates_are_a_factor_of_what_they_would_be(name: str) -> None:
    fields = {"name": name, "epsilon": 1e-3, "weight_decay": 0.1, "weight_decay_mask": "all"}
    params: Any = {"head": {"kernel": jnp.asarray([2.0, -4.0])}, "classifier": {"kernel": jnp.asarray([3.0])}}
    moved = []
    for rate in (1.0, 0.25):
        optimizer: Any = make_optimizer(config_with(**fields, backbone_rate=rate), optax.constant_schedule(0.1))
        state = optimizer.init(params)
        for _ in range(2):  # at the same parameters: the second update has momentum
            updates, state = optimizer.update(params, state, params)
        moved.append(updates)
    np.testing.assert_allclose(moved[1]["head"]["kernel"], 0.25 * moved[0]["head"]["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(moved[1]["classifier"]["kernel"], moved[0]["classifier"]["kernel"])


def test_adamw_decays_kernels_apart_from_the_gradient() -> None:
    config = config_with(name="adamw", epsilon=1e-8, decay=0.999, weight_decay=0.05, weight_decay_mask="kernels")
    optimizer: Any = make_optimizer(config, optax.constant_schedule(0.1))
    params: Any = {"dense": {"kernel": jnp.asarray([2.0, -4.0]), "bias": jnp.asarray([3.0])}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, state = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["dense"]["kernel"], [-0.01, 0.02], rtol=1e-6)
    np.testing.assert_array_equal(updates["dense"]["bias"], [0.0])
    del state
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(ones, optimizer.init(params), params)
    np.testing.assert_allclose(updates["dense"]["bias"], [-0.1], rtol=1e-5)  # Adam's first step is the learning rate


@pytest.mark.parametrize("mask, decaying", [("slim", 36), ("kernels", 36 + 17), ("all", 36 + 17 + 2 * 52 + 1)])
def test_the_mask_picks_what_its_source_decays(mask: str, decaying: int) -> None:
    model = MobileNetV2()
    image = jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    assert sum(jax.tree.leaves(decay_mask(mask)(params))) == decaying


@pytest.mark.parametrize("trace", REFERENCE["ema"], ids=lambda trace: f"decay={trace['decay']}")
def test_moving_averages_warm_up_as_in_tensorflow(trace: dict[str, Any]) -> None:
    average = {"a": jnp.asarray(trace["initial"])}
    rows = zip(trace["num_updates"], trace["values"], trace["effective_decay"], trace["shadow"], strict=True)
    for n, value, effective, shadow in rows:
        decay = effective_ema_decay(trace["decay"], n)
        assert float(decay) == pytest.approx(effective, rel=1e-6)
        average = update_ema(average, {"a": jnp.asarray(value)}, decay)
        assert float(average["a"]) == pytest.approx(shadow, rel=1e-6, abs=1e-6)


def test_moving_averages_reach_their_decay() -> None:
    assert float(effective_ema_decay(0.99, 889)) < 0.99
    assert float(effective_ema_decay(0.99, jnp.asarray(890))) == pytest.approx(0.99, rel=1e-6)
    assert float(effective_ema_decay(0.99, 10**6)) == pytest.approx(0.99, rel=1e-6)


@pytest.mark.parametrize("key", ["slim_staircase", "slim_staircase_1gpu"])
def test_the_exponential_schedule_is_slims_staircase(key: str) -> None:
    reference = REFERENCE["schedules"][key]
    config = config_with(learning_rate=reference["base_lr"], decay_rate=reference["decay_factor"])
    batch_size = reference.get("num_gpus", 1) * 96
    schedule = make_schedule(config, 10**7, 1_281_167 / batch_size)
    rates = [float(jnp.asarray(schedule(jnp.asarray(step)))) for step in reference["steps"]]
    # The factor is a float32 here as in TensorFlow: 0.98 ** 167 has lost two digits.
    np.testing.assert_allclose(rates, reference["lr"], rtol=1e-5, atol=1e-6)


def test_the_cosine_schedule_warms_up_to_its_peak_and_ends_at_zero() -> None:
    reference = REFERENCE["schedules"]["cosine_warmup_per_step"]
    config = config_with(schedule="cosine", learning_rate=reference["peak"], warmup_epochs=2.5)
    schedule = make_schedule(config, reference["total_steps"], reference["warmup_steps"] / 2.5)
    rates = [float(jnp.asarray(schedule(jnp.asarray(step)))) for step in reference["steps"]]
    np.testing.assert_allclose(rates, reference["lr"], rtol=1e-6, atol=1e-6)


def test_the_staircase_counts_the_steps_of_the_warm_up() -> None:
    config = config_with(learning_rate=1.0, warmup_epochs=1.0, epochs_per_decay=1.5, decay_rate=0.5)
    schedule = make_schedule(config, 100, 4)
    rates = [float(jnp.asarray(schedule(step))) for step in range(13)]
    assert rates == [0, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_the_constant_schedule_stays_at_its_peak() -> None:
    schedule = make_schedule(config_with(schedule="constant", learning_rate=0.5, warmup_epochs=1.0), 100, 2)
    assert [float(jnp.asarray(schedule(step))) for step in (0, 1, 2, 3, 99)] == [0, 0.25, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "batch_size, reference_batch, peak", [(96, None, 0.5), (96, 96, 0.5), (768, 96, 4.0), (32, 64, 0.25), (3, 2, 0.75)]
)
def test_the_peak_is_scaled_with_the_batch_over_the_one_it_is_stated_for(
    batch_size: int, reference_batch: int | None, peak: float
) -> None:
    config = config_with(schedule="constant", learning_rate=0.5, reference_batch=reference_batch, warmup_epochs=1.0)
    config.train.batch_size = batch_size
    schedule = make_schedule(config, 100, 2)
    assert [float(jnp.asarray(schedule(step))) for step in (0, 1, 2, 99)] == [0, peak / 2, peak, peak]


@pytest.mark.parametrize("warmup_epochs", [10.0, 12.0])
def test_a_warm_up_as_long_as_the_run_is_refused(warmup_epochs: float) -> None:
    with pytest.raises(ConfigError, match=f"warmup_epochs is {warmup_epochs}.*less than the run's 100"):
        make_schedule(config_with(schedule="cosine", warmup_epochs=warmup_epochs), 100, 10)


def test_a_stair_shorter_than_a_step_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"epochs_per_decay is 2.5.*at least one step; an epoch has 0.25"):
        make_schedule(config_with(epochs_per_decay=2.5), 100, 0.25)
    make_schedule(config_with(epochs_per_decay=4.0), 100, 0.25)
