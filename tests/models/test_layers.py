import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from mobilenet_v2.models.layers import ConvNormAct, make_divisible, relu6, spatial_padding


@pytest.mark.parametrize(
    "channels, divisor, rounded",
    [
        (32, 8, 32),
        (32 * 0.75, 8, 24),
        (24 * 1.4, 8, 32),
        (16 * 1.3, 8, 24),  # 20.8: nearest, ties upwards
        (3.2, 8, 8),  # never under one divisor
        (3.2, 4, 4),
        (7.5, 1, 8),
        (100, 8, 104),
    ],
)
def test_channels_are_rounded_to_the_nearest_multiple(channels: float, divisor: int, rounded: int) -> None:
    assert make_divisible(channels, divisor) == rounded


def test_rounding_down_by_more_than_a_tenth_goes_one_step_up() -> None:
    assert make_divisible(11) == 16  # the nearest, 8, is 27 % less
    assert make_divisible(19) == 24  # 16 is 16 % less
    assert make_divisible(17) == 16  # 16 is 6 % less
    assert make_divisible(11, round_limit=0.5) == 8


@given(st.floats(0.01, 10_000), st.integers(1, 64))
def test_rounded_channels_are_a_near_multiple(channels: float, divisor: int) -> None:
    rounded = make_divisible(channels, divisor)
    assert rounded % divisor == 0
    assert rounded >= divisor
    assert rounded >= 0.9 * channels
    assert rounded - channels < 1.5 * divisor


@given(st.integers(1, 1000), st.integers(1, 64))
def test_multiples_stay_what_they_are(count: int, divisor: int) -> None:
    assert make_divisible(count * divisor, divisor) == count * divisor


@pytest.mark.parametrize("channels, divisor", [(0, 8), (-3.5, 8), (32, 0), (32, -8)])
def test_a_width_that_is_not_positive_is_refused(channels: float, divisor: int) -> None:
    with pytest.raises(ValueError, match=f"must be positive, got {channels} and {divisor}"):
        make_divisible(channels, divisor)


@pytest.mark.parametrize("kernel_size, amount", [(1, 0), (3, 1), (5, 2)])
def test_symmetric_padding_is_half_the_kernel_on_each_side(kernel_size: int, amount: int) -> None:
    assert spatial_padding("symmetric", kernel_size) == ((amount, amount), (amount, amount))
    assert spatial_padding("same", kernel_size) == "SAME"


def test_symmetric_padding_grows_with_the_dilation() -> None:
    assert spatial_padding("symmetric", 3, dilation=4) == ((4, 4), (4, 4))


def test_keras_v1_pads_at_the_end_only_where_there_is_a_stride() -> None:
    assert spatial_padding("keras_v1", 3, stride=2) == ((0, 1), (0, 1))
    assert spatial_padding("keras_v1", 3) == "SAME"


def test_an_unknown_padding_is_refused_by_name() -> None:
    unknown: Any = "valid"
    with pytest.raises(ValueError, match="'same', 'symmetric' or 'keras_v1', got 'valid'"):
        spatial_padding(unknown, 3)


def test_relu6_clips_to_0_and_6() -> None:
    x = jnp.asarray([-1.0, 0.0, 2.5, 6.0, 7.0])
    np.testing.assert_array_equal(relu6(x), [0, 0, 2.5, 6, 6])
    assert relu6(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def layer(**fields: Any) -> ConvNormAct:
    conv = functools.partial(nn.Conv, use_bias=False)
    return ConvNormAct(conv=conv, norm=functools.partial(nn.BatchNorm, momentum=0.9), **fields)


def output(module: ConvNormAct, x: jax.Array) -> jax.Array:
    variables = jax.jit(functools.partial(module.init, train=False))(jax.random.key(0), x)
    assert set(variables["params"]) == {"conv", "bn"}
    return jax.jit(functools.partial(module.apply, train=False))(variables, x)


def test_a_layer_without_activation_is_linear() -> None:
    x = 30 * jax.random.normal(jax.random.key(1), (2, 5, 5, 4))
    linear = output(layer(features=8, activation=None), x)
    assert linear.min() < 0
    assert linear.max() > 6
    np.testing.assert_allclose(output(layer(features=8, activation=None), 2 * x), 2 * linear, rtol=1e-5)
    np.testing.assert_allclose(output(layer(features=8), x), np.clip(linear, 0, 6), rtol=1e-5, atol=1e-6)


def test_a_depthwise_layer_keeps_channels_apart() -> None:
    x = jax.random.normal(jax.random.key(1), (1, 5, 5, 4))
    module = layer(features=4, kernel_size=3, depthwise=True, activation=None)
    changed = output(module, x.at[..., 2].add(1.0)) != output(module, x)
    assert changed[..., 2].all()
    assert not changed[..., [0, 1, 3]].any()


def test_training_normalises_by_the_batch() -> None:
    x = 5 + 3 * jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    module = layer(features=8, activation=None)
    variables = module.init(jax.random.key(0), x, train=False)
    y, _ = module.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(8), atol=1e-4)
    np.testing.assert_allclose(y.std((0, 1, 2)), np.ones(8), atol=1e-3)


@pytest.mark.parametrize("side", [6, 7])
def test_padding_families_agree_on_odd_sides_and_differ_on_even_ones(side: int) -> None:
    x = jax.random.normal(jax.random.key(1), (1, side, side, 3))
    same = output(layer(features=8, kernel_size=3, stride=2, padding="same"), x)
    symmetric = output(layer(features=8, kernel_size=3, stride=2, padding="symmetric"), x)
    assert same.shape == symmetric.shape == (1, -(-side // 2), -(-side // 2), 8)
    assert np.allclose(same, symmetric, atol=1e-6) == (side % 2 == 1)
