import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.training.metrics import add, cross_entropy, example_sums, means

LOGITS = np.random.default_rng(0).normal(scale=3, size=(6, 5)).astype(np.float32)
LABELS = np.asarray([0, 1, 2, 3, 4, 0], np.int32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_mixes_the_label_with_the_uniform_distribution(smoothing: float) -> None:
    targets = (1 - smoothing) * np.eye(5)[LABELS] + smoothing / 5
    expected = -(targets * np.log(softmax(LOGITS))).sum(-1)
    np.testing.assert_allclose(cross_entropy(jnp.asarray(LOGITS), LABELS, smoothing), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("garbage", [0.0, 1e30, np.inf, np.nan])
def test_masked_rows_count_in_no_mean(garbage: float, smoothing: float) -> None:
    mask = np.asarray([1, 0, 1, 1, 0, 1], np.float32)
    kept = mask > 0
    logits = np.where(kept[:, None], LOGITS, np.float32(garbage))
    sums = example_sums(jnp.asarray(logits), LABELS, mask, smoothing)
    alone = example_sums(jnp.asarray(LOGITS[kept]), LABELS[kept], mask[kept], smoothing)
    assert sums["loss"] == pytest.approx(float(alone["loss"]), rel=1e-6)
    assert sums["correct"] == alone["correct"] == (LOGITS.argmax(-1) == LABELS)[kept].sum()
    assert sums["count"] == alone["count"] == 4
    assert (sums["unreadable"], alone["unreadable"]) == (2, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_rows_are_scored_against_both_labels_by_share(smoothing: float) -> None:
    partner, share = np.roll(LABELS, 1), np.asarray([0.0, 0.2, 0.5, 0.7, 1.0, 0.9], np.float32)
    mask = np.asarray([1, 1, 0, 1, 1, 1], np.float32)
    mixture = {"partner_label_B": jnp.asarray(partner), "own_share_B": jnp.asarray(share)}
    sums = example_sums(jnp.asarray(LOGITS), LABELS, mask, smoothing, **mixture)
    targets = share[:, None] * np.eye(5)[LABELS] + (1 - share[:, None]) * np.eye(5)[partner]
    right = targets[np.arange(6), LOGITS.argmax(-1)]
    targets = (1 - smoothing) * targets + smoothing / 5
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    losses = -(targets * np.log(softmax(LOGITS))).sum(-1)
    assert float(sums["loss"]) == pytest.approx((losses * mask).sum(), rel=1e-5)
    assert float(sums["correct"]) == pytest.approx((right * mask).sum(), rel=1e-5)
    assert sums["count"] == 5


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mass_of_mixed_labels_is_1(smoothing: float) -> None:
    share = jnp.asarray([0.0, 0.2, 0.5, 0.7, 1.0, 0.9])
    mixture = {"partner_label_B": jnp.roll(LABELS, 1), "own_share_B": share}
    # The gradient by the logits is softmax − target, and softmax has mass 1.
    gradient = jax.grad(lambda logits: example_sums(logits, LABELS, jnp.ones(6), smoothing, **mixture)["loss"])
    np.testing.assert_allclose(gradient(jnp.asarray(LOGITS)).sum(-1), 0, atol=1e-6)


def test_masked_rows_have_no_gradient() -> None:
    mask = np.asarray([1, 0, 1, 1, 0, 1], np.float32)
    gradient = jax.grad(lambda logits: example_sums(logits, LABELS, mask, 0.1)["loss"])(jnp.asarray(LOGITS))
    np.testing.assert_array_equal(np.any(gradient, axis=1), mask > 0)


def test_sums_of_parts_add_up_to_the_whole() -> None:
    mask = np.asarray([1, 1, 1, 1, 0, 1], np.float32)
    parts = [example_sums(jnp.asarray(LOGITS[rows]), LABELS[rows], mask[rows]) for rows in (slice(4), slice(4, 6))]
    whole = example_sums(jnp.asarray(LOGITS), LABELS, mask)
    assert add(add({}, parts[0]), parts[1]) == pytest.approx({name: float(value) for name, value in whole.items()})


def test_means_divide_by_the_examples_counted() -> None:
    assert means({"loss": 6.0, "correct": 3.0, "count": 4.0, "unreadable": 2.0}) == {"loss": 1.5, "accuracy": 0.75}
    assert means({"loss": 0.0, "correct": 0.0, "count": 0.0}) == {"loss": 0.0, "accuracy": 0.0}
