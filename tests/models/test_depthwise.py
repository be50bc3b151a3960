import functools
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from mobilenet_v2.models.depthwise import Pads, resolve_padding, shifted_depthwise
from tests.models.random_networks import QUICK

SYMMETRIC = ((1, 1), (1, 1))


def of_lax(x: Any, kernel: Any, strides: tuple[int, int], pads: Pads, dilation: tuple[int, int] = (1, 1)) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def drawn(*shapes: tuple[int, ...], dtype: Any = np.float64) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


def with_gradients(convolution: Any, x: np.ndarray, kernel: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
    def all_three(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, ...]:
        value, transpose = jax.vjp(convolution, x, kernel)
        return (value, *transpose(cotangent))

    compiled = jax.jit(all_three, compiler_options=QUICK)
    return [np.asarray(array) for array in compiled(x, kernel, cotangent)]


def assert_near(ours: Any, reference: Any, tolerance: float) -> None:
    for array, expected in zip(ours, reference, strict=True):
        assert array.shape == expected.shape
        assert np.isfinite(array).all()
        assert np.abs(array - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=0)


def assert_equals_lax(
    image: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], pads: Pads, dilation: tuple[int, int]
) -> None:
    geometry = {"strides": strides, "pads": pads, "dilation": dilation}
    x, kernel = drawn(image, (*size, 1, image[-1]))
    reference = functools.partial(of_lax, **geometry)
    (cotangent,) = drawn(jax.eval_shape(reference, x, kernel).shape)
    ours = with_gradients(functools.partial(shifted_depthwise, **geometry), x, kernel, cotangent)
    assert_near(ours, with_gradients(reference, x, kernel, cotangent), 1e-12)


@pytest.mark.parametrize("padding", ["SAME", SYMMETRIC], ids=["same", "symmetric"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [(225, 225), (97, 131), (1, 1), (2, 1)], ids=str)
def test_one_image_of_any_size_is_convolved_as_by_lax(side: tuple[int, int], stride: int, padding: Any) -> None:
    pads = resolve_padding(padding, side, (3, 3), (stride, stride))
    with jax.enable_x64(True):
        assert_equals_lax((1, *side, 2), (3, 3), (stride, stride), pads, (1, 1))


@pytest.mark.parametrize("stride, dilation", [(1, 1), (1, 2), (1, 4), (2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("padding", ["SAME", SYMMETRIC], ids=["same", "symmetric"])
def test_kernels_are_dilated_as_by_lax(stride: int, dilation: int, padding: Any) -> None:
    pads = resolve_padding(padding, (13, 10), (3, 3), (stride, stride), (dilation, dilation))
    with jax.enable_x64(True):
        assert_equals_lax((2, 13, 10, 3), (3, 3), (stride, stride), pads, (dilation, dilation))


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    size, dilation, side = pair(1, 5), pair(1, 3), pair(1, 20)
    window = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = [pair(0, 4), pair(0, 4)]
    # At least one window fits.
    pads = [(low, max(high, w - n - low)) for (low, high), w, n in zip(pads, window, side, strict=True)]
    image = (draw(st.integers(1, 3)), *side, draw(st.integers(1, 4)))
    return {"image": image, "size": size, "strides": pair(1, 4), "pads": tuple(pads), "dilation": dilation}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(geometries())
def test_any_geometry_is_convolved_as_by_lax(geometry: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        assert_equals_lax(**geometry)


@pytest.mark.parametrize("stride", [1, 2])
def test_negative_padding_takes_rows_and_columns_away(stride: int) -> None:
    with jax.enable_x64(True):
        assert_equals_lax((2, 9, 8, 3), (3, 3), (stride, stride), ((-1, 2), (-2, -1)), (1, 1))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("bfloat16", 2**-8), ("float16", 2**-11)])
@pytest.mark.parametrize("stride", [1, 2])
def test_sums_are_of_float32_and_only_the_result_is_rounded(stride: int, dtype: Any, tolerance: float) -> None:
    geometry = {"strides": (stride, stride), "pads": SYMMETRIC}
    arrays = drawn((2, 33, 31, 4), (3, 3, 1, 4), (2, -(-33 // stride), -(-31 // stride), 4), dtype=np.float32)
    rounded = [np.asarray(jax.numpy.asarray(array, dtype)) for array in arrays]
    ours = with_gradients(functools.partial(shifted_depthwise, **geometry), *rounded)
    assert {array.dtype for array in ours} == {np.dtype(dtype)}
    with jax.enable_x64(True):
        exact = with_gradients(functools.partial(of_lax, **geometry), *[a.astype(np.float64) for a in rounded])
    assert_near([array.astype(np.float64) for array in ours], exact, tolerance)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)], ids=["images", "kernels", "both"])
def test_a_convolution_may_be_mapped_over_images_and_kernels(in_axes: tuple[int | None, int | None]) -> None:
    def gradients(convolution: Any, x: jax.Array, kernel: jax.Array) -> Any:
        return jax.grad(lambda x, k: (convolution(x, k, (2, 2), SYMMETRIC) ** 2).sum(), (0, 1))(x, kernel)

    with jax.enable_x64(True):
        x, kernel = drawn((3, 2, 7, 6, 4), (3, 3, 3, 1, 4))
        x, kernel = (x[0] if in_axes[0] is None else x), (kernel[0] if in_axes[1] is None else kernel)
        mapped = [
            np.asarray(array)
            for array in jax.jit(jax.vmap(functools.partial(gradients, shifted_depthwise), in_axes))(x, kernel)
        ]
        one = jax.jit(functools.partial(gradients, of_lax))
        looped = [one(x if in_axes[0] is None else x[i], kernel if in_axes[1] is None else kernel[i]) for i in range(3)]
    assert_near(mapped, [np.stack(arrays) for arrays in zip(*looped, strict=True)], 1e-12)


@pytest.mark.parametrize("stride, dilation", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_gradients_have_gradients(stride: int, dilation: int) -> None:
    def twice(convolution: Any, x: jax.Array, kernel: jax.Array, a: jax.Array, b: jax.Array) -> Any:
        def directional(x: jax.Array, kernel: jax.Array) -> jax.Array:
            y = functools.partial(convolution, strides=(stride, stride), pads=SYMMETRIC, dilation=(dilation, dilation))
            dx, dk = jax.grad(lambda x, kernel: (y(x, kernel) ** 3).sum(), (0, 1))(x, kernel)
            return (dx * a).sum() + (dk * b).sum()

        return jax.grad(directional, (0, 1))(x, kernel)

    with jax.enable_x64(True):
        x, kernel = drawn((2, 7, 8, 3), (3, 3, 1, 3))
        a, b = np.cos(x), np.sin(kernel)
        ours, reference = (
            jax.tree.map(np.asarray, jax.jit(functools.partial(twice, f), compiler_options=QUICK)(x, kernel, a, b))
            for f in (shifted_depthwise, of_lax)
        )
    assert_near(ours, reference, 1e-11)
