import pathlib
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs import default
from mobilenet_v2.data.policies import BINS, OPERATIONS, Policy, rand_augment, trivial_augment_wide

# CRC-32 of what torchvision 0.29 makes of `picture()` at each magnitude [sign, bin], on Pillow 13, filled with FILL.
with np.load(pathlib.Path(__file__).parent / "reference" / "policies.npz") as file:
    REFERENCE = dict(file)
FILL = (10, 200, 30)
SPACES = {"rand_augment": rand_augment(40), "trivial_augment_wide": trivial_augment_wide()}


def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    ramp = np.add.outer(np.arange(40), np.arange(40))[..., None] * np.array([3, 2, 1])
    return ((ramp + noise // 4) % 256).astype(np.uint8)


@pytest.mark.parametrize("key", REFERENCE)
def test_an_operation_is_torchvisions_at_every_magnitude(key: str) -> None:
    policy, name, interpolation = key.split("/")
    magnitudes, signed = next((m, signed) for n, m, signed in SPACES[policy] if n == name)
    image = Image.fromarray(picture())
    ours = [
        [zlib.crc32(OPERATIONS[name](image, sign * m, interpolation, FILL).tobytes()) for m in magnitudes]
        for sign in ((1, -1) if signed else (1,))
    ]
    np.testing.assert_array_equal(ours, REFERENCE[key])


@pytest.mark.parametrize("policy", SPACES)
def test_every_operation_of_a_policy_is_compared(policy: str) -> None:
    names = [name for name, _, _ in SPACES[policy]]
    assert len(names) == len(set(names)) == 14
    assert all(f"{policy}/{name}/nearest" in REFERENCE for name in names)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """(operation, magnitude) of all that policies do from here on, which is only noted."""
    log: list[tuple[str, float]] = []

    def noting(name: str) -> Any:
        return lambda image, magnitude, *_: log.append((name, magnitude)) or image

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, noting(name))
    return log


def draw(policy: Policy, count: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(count):
        policy(picture(), rng.random(Policy.DRAWS), FILL)


# An operation whose magnitudes tell their bin.
BIN = ("Brightness", tuple(float(b) for b in range(BINS)), False)


def test_all_operations_are_equally_likely_and_half_of_the_signed_ones_negative(
    applied: list[tuple[str, float]],
) -> None:
    operations = trivial_augment_wide()
    draw(Policy(operations), 7000)
    seen = Counter((name, magnitude < 0) for name, magnitude in applied)
    for name, _, signed in operations:
        assert 420 < seen[name, False] + seen[name, True] < 580
        assert (seen[name, True] > 180) == signed


def test_trivial_augment_takes_one_operation_of_uniform_magnitude(applied: list[tuple[str, float]]) -> None:
    draw(Policy((BIN,)), 6200)
    counts = np.bincount([int(magnitude) for _, magnitude in applied], minlength=BINS)
    assert counts.sum() == 6200
    assert counts.min() > 140
    assert counts.max() < 260


def test_rand_augment_takes_as_many_operations_as_layers_all_of_its_magnitude(
    applied: list[tuple[str, float]],
) -> None:
    draw(Policy((BIN,), layers=3, magnitude=9), 100)
    assert applied == [("Brightness", 9.0)] * 300


def test_noise_on_the_magnitude_is_normal_and_kept_within_the_bins(applied: list[tuple[str, float]]) -> None:
    draw(Policy((BIN,), magnitude=15, magnitude_std=2.0), 4000)
    bins = np.array([magnitude for _, magnitude in applied])
    assert bins.mean() == pytest.approx(15, abs=0.15)
    assert bins.std() == pytest.approx(np.sqrt(4 + 1 / 12), abs=0.1)
    applied.clear()
    draw(Policy((BIN,), magnitude=15, magnitude_std=20.0), 1000)
    assert {min(applied)[1], max(applied)[1]} == {0.0, 30.0}


def test_a_layer_does_something_with_its_probability(applied: list[tuple[str, float]]) -> None:
    draw(Policy((BIN,), layers=2, magnitude=9, probability=0.25), 2000)
    assert 900 < len(applied) < 1100


@pytest.mark.parametrize("policy", [Policy(rand_augment(40), 8, 30), Policy(trivial_augment_wide())])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_their_shape_and_type(policy: Policy, channels: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        result = policy(picture()[..., :channels], rng.random(Policy.DRAWS), FILL[:channels])
        assert (result.dtype, result.shape) == (np.uint8, (40, 40, channels))


def test_what_moves_in_from_beyond_the_borders_has_the_fill() -> None:
    shift = next(o for o in trivial_augment_wide() if o[0] == "TranslateX")
    moved = Policy((shift,), magnitude=30)(picture(), np.zeros(Policy.DRAWS), FILL)  # by 32 pixels
    assert (moved[:, :32] == FILL).all()
    np.testing.assert_array_equal(moved[:, 32:], picture()[:, :8])


def test_a_policy_is_built_from_its_fields() -> None:
    augment = default.get_config().augment
    assert Policy.of(augment, 224) is None
    augment.policy = "trivial_augment_wide"
    assert Policy.of(augment, 224) == Policy(trivial_augment_wide())
    augment.update(policy="rand_augment", policy_layers=3, policy_magnitude_std=0.5, policy_interpolation="bilinear")
    assert Policy.of(augment, 160) == Policy(rand_augment(160), 3, 9, 0.5, 1.0, "bilinear")
