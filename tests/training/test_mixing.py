import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import digits
from mobilenet_v2.models.build import build_model
from mobilenet_v2.training import mixing
from mobilenet_v2.training.steps import train_step
from tests.training.test_steps import first_state, optimizer_of, tiny

RNG = jax.random.key(7)
ALL_ON = {"mixup": 0.8, "cutmix": 1.0, "erasing": 0.5}
STRENGTHS = [{"mixup": 0.8}, {"cutmix": 1.0}, {"erasing": 1.0}, ALL_ON]


def augment(**fields: Any) -> ConfigDict:
    section = digits.get_config().augment
    section.update(**fields)
    return section


def batch(rows: int = 8, size: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.integers(1, 256, (rows, size, size, 3), np.uint8),
        "label": np.arange(rows, dtype=np.int32),
        "mask": np.ones(rows, np.float32),
    }


def as_float(image: jax.Array) -> jax.Array:
    return image.astype(jnp.float32)


@functools.cache
def drawn(**fields: float) -> tuple[np.ndarray, np.ndarray]:
    """(blend [4000], pasted [4000, 4]) of as many keys, for images of 32 × 24."""
    draw = jax.jit(jax.vmap(lambda key: mixing.draw_mixture(key, (32, 24), augment(**fields))))
    blend, pasted = draw(jax.random.split(RNG, 4000))
    return np.asarray(blend), np.asarray(pasted)


def stepper(fields: dict[str, float], accumulation_steps: int = 1) -> Any:
    config = tiny(accumulation_steps)
    config.augment.update(**fields)
    return functools.partial(train_step, model=build_model(config.model), optimizer=optimizer_of(config), config=config)


def test_a_batch_is_left_alone_where_all_is_off() -> None:
    rows = batch()
    assert mixing.with_mixture(rows, RNG, augment(mix_probability=0.5)) is rows
    assert mixing.mixed_labels(rows) == {}


def test_what_is_off_adds_no_operation_to_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    jaxpr = str(jax.make_jaxpr(stepper({}))(first_state(), batch(), RNG))
    monkeypatch.setattr(mixing, "with_mixture", lambda rows, rng, augment: rows)
    monkeypatch.setattr(mixing, "mixed_images", lambda rows, normalize: normalize(rows["image"]))
    monkeypatch.setattr(mixing, "mixed_labels", lambda rows: {})
    assert str(jax.make_jaxpr(stepper({}))(first_state(), batch(), RNG)) == jaxpr
    assert "while" not in jaxpr, "Beta is drawn by rejection"


@pytest.mark.parametrize("fields", STRENGTHS, ids=str)
def test_labels_and_masks_of_the_rows_stay_and_the_batch_keeps_its_images(fields: dict[str, float]) -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(**fields))
    for name, rows in batch().items():
        np.testing.assert_array_equal(prepared[name], rows)
    assert mixing.mixed_images(prepared, as_float).shape == batch()["image"].shape


@pytest.mark.parametrize("fields", STRENGTHS, ids=str)
def test_a_mixture_is_a_function_of_the_key(fields: dict[str, float]) -> None:
    images = [
        np.asarray(mixing.mixed_images(mixing.with_mixture(batch(), jax.random.key(seed), augment(**fields)), as_float))
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_every_step_mixes_anew_and_the_same_step_alike() -> None:
    step = jax.jit(stepper({"mixup": 1.0}))
    start = first_state()
    losses = [step(start.replace(step=jnp.asarray(n, jnp.int32)), batch(), RNG)[1]["loss"] for n in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_mix_probability_of_0_leaves_every_bit_and_label() -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(mixup=0.8, cutmix=1.0, mix_probability=0.0))
    np.testing.assert_array_equal(mixing.mixed_images(prepared, as_float), batch()["image"])
    np.testing.assert_array_equal(mixing.mixed_labels(prepared)["own_share_B"], np.ones(8))


def test_mixup_adds_the_row_before_by_the_share_of_its_label() -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(mixup=1.0))
    labels = mixing.mixed_labels(prepared)
    share = np.asarray(labels["own_share_B"])
    assert np.unique(share).size == 1
    assert 0.01 < share[0] < 0.99
    np.testing.assert_array_equal(labels["partner_label_B"], np.roll(batch()["label"], 1))
    image = batch()["image"].astype(np.float32)
    expected = share[0] * image + (1 - share[0]) * np.roll(image, 1, axis=0)
    np.testing.assert_allclose(mixing.mixed_images(prepared, as_float), expected, rtol=1e-6)


def test_an_example_in_several_places_is_mixed_with_another_one() -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(mixup=1.0, repeats=4))
    labels = mixing.mixed_labels(prepared)
    np.testing.assert_array_equal(labels["partner_label_B"], np.roll(batch()["label"], 4))


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_the_same_box_of_the_row_before_into_each_row_and_its_area_into_the_label(seed: int) -> None:
    rows = {**batch(size=16), "image": np.tile(np.arange(8, dtype=np.uint8)[:, None, None, None], (1, 16, 16, 3))}
    prepared = mixing.with_mixture(rows, jax.random.key(seed), augment(cutmix=1.0))
    pasted = np.asarray(mixing.mixed_images(prepared, as_float)) == (np.arange(8) - 1)[:, None, None, None] % 8
    assert (pasted == pasted[:1]).all()
    kept = np.asarray(mixing.mixed_images(prepared, as_float)) == np.arange(8)[:, None, None, None]
    assert (kept ^ pasted).all()
    np.testing.assert_allclose(mixing.mixed_labels(prepared)["own_share_B"], kept.mean(axis=(1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("fields", [*STRENGTHS[:2], ALL_ON], ids=str)
def test_a_row_of_mask_0_neither_gives_nor_receives_nor_loses_pixels(fields: dict[str, float]) -> None:
    rows = batch()
    rows["mask"][[2, 5]] = 0
    with_garbage = {**rows, "image": rows["image"].copy(), "label": rows["label"].copy()}
    with_garbage["image"][[2, 5]] //= 2
    with_garbage["label"][[2, 5]] = 9
    prepared, other = (mixing.with_mixture(r, RNG, augment(**fields)) for r in (rows, with_garbage))
    images, other_images = (np.asarray(mixing.mixed_images(p, as_float)) for p in (prepared, other))
    np.testing.assert_array_equal(images[[2, 5]], rows["image"][[2, 5]])
    np.testing.assert_array_equal(np.delete(images, [2, 5], axis=0), np.delete(other_images, [2, 5], axis=0))
    share = np.asarray(mixing.mixed_labels(prepared)["own_share_B"])
    np.testing.assert_array_equal(share[[2, 3, 5, 6]], np.ones(4))
    assert (share[[0, 1, 4, 7]] < 1).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixups_share_is_beta_distributed(alpha: float) -> None:
    blend, pasted = drawn(mixup=alpha)
    assert blend.mean() == pytest.approx(0.5, abs=0.03)
    assert blend.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)
    assert not pasted.any()


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_cutmix_boxes_lie_in_the_image_and_take_up_to_the_share_of_its_area(alpha: float) -> None:
    blend, pasted = drawn(cutmix=alpha)
    assert (blend == 1).all()
    assert (pasted[:, :2] >= 0).all()
    assert (pasted[:, 2:] <= [32, 24]).all()
    assert (pasted[:, 2:] >= pasted[:, :2]).all()
    share = 1 - np.asarray(mixing.area(jnp.asarray(pasted))) / (32 * 24)
    assert share.min() < 0.2
    assert share.max() == 1
    # Boxes are clipped, so that λ is above Beta's mean.
    assert 0.5 < share.mean() < 0.8


def test_a_box_about_the_centre_has_the_share_that_was_drawn() -> None:
    boxes = [np.asarray(mixing.cutmix_box(key, jnp.asarray(0.75), (32, 24))) for key in jax.random.split(RNG, 200)]
    whole = [box for box in boxes if box[0] > 0 and box[1] > 0 and box[2] < 32 and box[3] < 24]
    assert len(whole) > 20
    assert {(box[2] - box[0], box[3] - box[1]) for box in whole} == {(16, 12)}


def test_with_both_kinds_on_half_of_the_mixed_batches_are_of_each() -> None:
    blend, pasted = drawn(mixup=1.0, cutmix=1.0, mix_probability=0.6)
    added, cut = blend < 1, pasted.any(axis=1)
    assert not (added & cut).any()
    assert added.mean() == pytest.approx(0.3, abs=0.03)
    assert cut.mean() == pytest.approx(0.3, abs=0.03)


def test_switching_one_kind_on_leaves_the_others_draws_alone() -> None:
    blend, _ = drawn(mixup=1.0)
    both, pasted = drawn(mixup=1.0, cutmix=1.0)
    np.testing.assert_array_equal(both[both < 1], blend[both < 1])
    _, alone = drawn(cutmix=1.0)
    np.testing.assert_array_equal(pasted[pasted.any(axis=1)], alone[pasted.any(axis=1)])


def test_a_row_of_a_micro_batch_is_mixed_as_it_is_in_the_whole_batch() -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(**ALL_ON))
    whole = mixing.mixed_images(prepared, as_float)
    micro = jax.tree.map(lambda rows: rows[1::2], prepared)
    np.testing.assert_array_equal(mixing.mixed_images(micro, as_float), whole[1::2])


@pytest.mark.parametrize("fields", STRENGTHS[:2], ids=str)
def test_mixing_equal_rows_changes_no_step(fields: dict[str, float]) -> None:
    equal = {name: np.repeat(rows[:1], 8, axis=0) for name, rows in batch().items()}
    (_, mixed), (_, plain) = (jax.jit(stepper(f))(first_state(), equal, RNG) for f in (fields, {}))
    assert float(mixed["loss"]) == pytest.approx(float(plain["loss"]), rel=1e-4)
    assert float(mixed["correct"]) == pytest.approx(float(plain["correct"]), rel=1e-5)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_a_step_with_all_of_it_is_finite_and_changes_every_variable(accumulation_steps: int) -> None:
    rows = batch()
    rows["mask"][3] = 0
    state, sums = jax.jit(stepper(ALL_ON, accumulation_steps))(first_state(), rows, RNG)
    assert (sums["nonfinite"], sums["count"], sums["unreadable"]) == (0, 7, 1)
    assert 0 < sums["gradient_norm"] < np.inf
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), state.variables, first_state().variables)
    assert all(jax.tree.leaves(changed))
