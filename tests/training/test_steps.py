import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from configs import digits
from mobilenet_v2.models.build import build_model
from mobilenet_v2.training import metrics
from mobilenet_v2.training.frozen import frozen_in_network
from mobilenet_v2.training.optimizer import make_optimizer
from mobilenet_v2.training.setup import make_setup
from mobilenet_v2.training.state import TrainState, create_state
from mobilenet_v2.training.steps import eval_step, global_norm, named_key, normalize, train_step


def tiny(accumulation_steps: int = 1) -> ConfigDict:
    config = digits.get_config()
    config.model.update(width_multiplier=0.25, head_channels=32, dropout_rate=0.5)
    config.model.stages = ((1, 8, 1, 1), (2, 8, 2, 2))
    config.data.image_size = 8
    config.train.update(batch_size=8, accumulation_steps=accumulation_steps)
    return config


def batch(seed: int = 0, rows: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "image": random.integers(0, 256, (rows, 8, 8, 3), np.uint8),
        "label": random.integers(0, 10, rows).astype(np.int32),
        "mask": np.ones(rows, np.float32),
    }


def optimizer_of(config: ConfigDict) -> optax.GradientTransformation:
    return make_optimizer(config, optax.constant_schedule(0.003))


@functools.cache
def first_state() -> TrainState:
    config = tiny()
    place = SingleDeviceSharding(jax.devices()[0])
    return create_state(
        build_model(config.model), optimizer_of(config), seed=0, image_size=8, ema=True, place=lambda shapes: place
    )


@functools.cache
def step_of(
    accumulation_steps: int = 1, frozen: str = "nothing", frozen_batch_norm: bool = False
) -> Callable[..., Any]:
    """The train step as `make_setup` binds it, but nothing is donated."""
    config = tiny(accumulation_steps)
    config.train.update(frozen=frozen, frozen_batch_norm=frozen_batch_norm)
    momentum = config.model.batch_norm_momentum ** (1 / accumulation_steps)
    model = build_model(config.model).clone(batch_norm_momentum=momentum, frozen=frozen_in_network(config.train))
    return jax.jit(functools.partial(train_step, model=model, optimizer=optimizer_of(config), config=config))


RNG = jax.random.key(7)


def assert_equal(left: Any, right: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


def assert_close(left: Any, right: Any) -> None:
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), left, right)


def test_a_step_is_a_function_of_state_batch_and_key() -> None:
    assert_equal(step_of()(first_state(), batch(), RNG), step_of()(first_state(), batch(), RNG))
    _, ours = step_of()(first_state(), batch(), RNG)
    _, other_key = step_of()(first_state(), batch(), jax.random.key(8))
    _, other_step = step_of()(first_state().replace(step=jnp.asarray(5, jnp.int32)), batch(), RNG)
    assert len({float(m["loss"]) for m in (ours, other_key, other_step)}) == 3


def test_a_step_changes_every_variable_and_counts_itself() -> None:
    state, sums = step_of()(first_state(), batch(), RNG)
    assert state.step == 1
    assert state.step.dtype == jnp.int32
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), state.variables, first_state().variables)
    assert all(jax.tree.leaves(changed))
    assert (sums["count"], sums["unreadable"], sums["nonfinite"], sums["steps"]) == (8, 0, 0, 1)
    assert 0 < sums["gradient_norm"] < np.inf


def test_the_loss_falls_on_a_batch_seen_again_and_again() -> None:
    state, losses = first_state(), []
    for _ in range(30):
        state, sums = step_of()(state, batch(), RNG)
        losses.append(float(sums["loss"]) / 8)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_labels_of_masked_rows_change_nothing_in_training() -> None:
    masked = batch()
    masked["mask"][[2, 5]] = 0
    relabelled = {**masked, "label": masked["label"].copy()}
    relabelled["label"][[2, 5]] = (masked["label"][[2, 5]] + 3) % 10
    assert_equal(step_of()(first_state(), masked, RNG), step_of()(first_state(), relabelled, RNG))
    assert step_of()(first_state(), masked, RNG)[1]["count"] == 6


def test_a_batch_without_a_readable_row_does_no_harm() -> None:
    nothing = {**batch(), "mask": np.zeros(8, np.float32)}
    state, sums = step_of()(first_state(), nothing, RNG)
    assert (sums["loss"], sums["gradient_norm"], sums["nonfinite"], sums["unreadable"]) == (0, 0, 0, 8)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("accumulation_steps", [1, 2])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_step_that_is_not_finite_changes_nothing_but_the_step_count(value: float, accumulation_steps: int) -> None:
    params: Any = first_state().params
    bias = params["classifier"]["bias"].at[3].set(value)
    broken = first_state().replace(params={**params, "classifier": {**params["classifier"], "bias": bias}})
    state, sums = step_of(accumulation_steps)(broken, batch(), RNG)
    assert sums["nonfinite"] == 1
    assert state.step == 1
    assert_equal(state.replace(step=broken.step), broken)


def test_averages_of_params_and_statistics_warm_up() -> None:
    start = first_state()
    one, _ = step_of()(start, batch(1), RNG)
    two, _ = step_of()(one, batch(2), RNG)
    averaged = start.variables
    for decay, state in ((1 / 10, one), (2 / 11, two)):
        averaged = jax.tree.map(lambda a, v, d=decay: d * a + (1 - d) * v, averaged, state.variables)
        assert_close(state.ema_variables, averaged)


def test_a_state_without_averages_stays_without() -> None:
    config = tiny()
    step = functools.partial(train_step, model=build_model(config.model), optimizer=optimizer_of(config), config=config)
    state = first_state().replace(ema_params=None, ema_batch_stats=None)
    after, _ = jax.eval_shape(step, state, batch(), RNG)
    assert after.ema_variables is None


def test_accumulation_is_a_loop_over_every_nth_row() -> None:
    config, state, whole = tiny(2), first_state(), batch()
    whole["mask"][[1, 2, 3]] = 0  # one row of the first micro-batch, two of the second
    model = build_model(config.model).clone(batch_norm_momentum=config.model.batch_norm_momentum**0.5)

    @functools.partial(jax.grad, has_aux=True)
    def gradient(params: Any, batch_stats: Any, micro: dict[str, Any], key: jax.Array) -> Any:
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalize(micro["image"], config),
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": named_key(key, "dropout")},
        )
        losses = metrics.cross_entropy(logits, micro["label"], config.train.label_smoothing)
        return jnp.sum(losses * micro["mask"]) / 5, (updated["batch_stats"], jnp.sum(losses * micro["mask"]))

    batch_stats, total, loss = state.batch_stats, jax.tree.map(jnp.zeros_like, state.params), 0.0
    for index in range(2):
        micro = {name: array[index::2] for name, array in whole.items()}
        key = jax.random.fold_in(jax.random.fold_in(RNG, 0), index)
        gradients, (batch_stats, micro_loss) = jax.jit(gradient)(state.params, batch_stats, micro, key)
        total, loss = jax.tree.map(jnp.add, total, gradients), loss + micro_loss

    after, sums = step_of(2)(state, whole, RNG)
    assert sums["count"] == 5
    assert float(sums["loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(sums["gradient_norm"]) == pytest.approx(float(optax.tree.norm(total)), rel=1e-4)
    assert_close(after.batch_stats, batch_stats)
    updates, _ = optimizer_of(config).update(total, state.opt_state, state.params)
    # Adam's first step has the size of the learning rate wherever the gradient is not rounding alone.
    expected = optax.apply_updates(state.params, updates)
    clear = jax.tree.map(lambda g: np.abs(g) > 1e-5, total)
    jax.tree.map(
        lambda ours, theirs, where: np.testing.assert_allclose(ours[where], theirs[where], rtol=1e-4, atol=1e-5),
        after.params,
        expected,
        clear,
    )


def test_running_statistics_forget_as_fast_with_accumulation_as_without(data_dir: str) -> None:
    image = batch()["image"][:1]
    equal_rows = {**batch(), "image": np.repeat(image, 8, axis=0)}
    moved = []
    for accumulation_steps in (1, 2):
        config = tiny(accumulation_steps)
        config.model.dropout_rate = 0.0
        config.data.data_dir = data_dir
        setup = make_setup(config, jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)))
        state, _ = setup.train_step(setup.create_state(), equal_rows, RNG)
        moved.append(state.batch_stats)
    assert_close(*moved)


def eval_of(rows: dict[str, np.ndarray]) -> dict[str, Any]:
    config = tiny()
    step = functools.partial(eval_step, model=build_model(config.model), config=config)
    return jax.device_get(jax.jit(step)(first_state().variables, rows))


def test_padding_does_not_change_an_evaluation() -> None:
    padded = batch()
    padded["mask"][6:] = 0
    padded["image"][6:] = 255
    sums, alone = eval_of(padded), eval_of({name: array[:6] for name, array in batch().items()})
    assert sums["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert (sums["correct"], sums["count"]) == (alone["correct"], 6)


def test_evaluation_smooths_no_label_and_drops_nothing() -> None:
    config = tiny()
    logits = build_model(config.model).apply(first_state().variables, normalize(batch()["image"], config), train=False)
    log_probabilities = np.asarray(jax.nn.log_softmax(logits), np.float64)
    expected = -log_probabilities[np.arange(8), batch()["label"]].sum()
    assert eval_of(batch())["loss"] == pytest.approx(expected, rel=1e-5)


def test_images_are_normalised_per_channel() -> None:
    config = tiny()
    config.data.update(mean=(0.0, 0.5, 0.5), std=(1.0, 0.5, 0.25))
    image = np.asarray([[[[255, 255, 0]]]], np.uint8)
    np.testing.assert_allclose(normalize(jnp.asarray(image), config), [[[[1.0, 1.0, -2.0]]]], rtol=1e-6)


def test_keys_of_different_uses_are_independent() -> None:
    keys = [jax.random.key_data(named_key(RNG, name)).tolist() for name in ("dropout", "dropout", "mixup")]
    assert keys[0] == keys[1] != keys[2]


def test_the_global_norm_is_that_of_all_leaves_together() -> None:
    tree = {"a": jnp.asarray([3.0, 0.0]), "b": {"c": jnp.asarray([[4.0], [12.0]])}}
    assert float(global_norm(tree)) == pytest.approx(13.0)
    for wrong in (jnp.nan, jnp.inf, -jnp.inf):
        assert not jnp.isfinite(global_norm({**tree, "d": jnp.asarray([wrong, 1.0])}))
