from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from jax import lax

from mobilenet_v2.models.convolutions import conv_general_dilated


class Case(NamedTuple):
    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...] = (1, 1)
    padding: Any = "SAME"
    groups: int = 1
    dilation: tuple[int, ...] | None = None


CASES = {
    "depthwise": Case((2, 8, 8, 6), (3, 3, 1, 6), groups=6),
    "depthwise stride 2": Case((2, 8, 8, 6), (3, 3, 1, 6), (2, 2), groups=6),
    "depthwise stride 2, odd": Case((2, 7, 9, 6), (3, 3, 1, 6), (2, 2), groups=6),
    "depthwise symmetric": Case((2, 8, 8, 6), (3, 3, 1, 6), padding=((1, 1), (1, 1)), groups=6),
    "depthwise symmetric stride 2": Case((2, 8, 8, 6), (3, 3, 1, 6), (2, 2), ((1, 1), (1, 1)), groups=6),
    "depthwise symmetric stride 2, odd": Case((2, 7, 5, 6), (3, 3, 1, 6), (2, 2), ((1, 1), (1, 1)), groups=6),
    "depthwise lopsided": Case((2, 6, 7, 6), (3, 3, 1, 6), (1, 2), ((0, 2), (1, 0)), groups=6),
    "depthwise unpadded": Case((2, 6, 7, 6), (3, 3, 1, 6), padding="VALID", groups=6),
    "depthwise 5×5": Case((2, 9, 6, 6), (5, 5, 1, 6), (2, 2), groups=6),
    "depthwise 1×1": Case((2, 5, 5, 6), (1, 1, 1, 6), groups=6),
    "depthwise of one pixel": Case((2, 1, 1, 6), (3, 3, 1, 6), (2, 2), groups=6),
    "depthwise of one channel": Case((2, 6, 6, 1), (3, 3, 1, 1)),
    "depthwise dilated": Case((2, 9, 9, 6), (3, 3, 1, 6), groups=6, dilation=(2, 2)),
    "depthwise with two filters a channel": Case((2, 6, 6, 3), (3, 3, 1, 6), groups=3),
    "pointwise": Case((2, 5, 7, 6), (1, 1, 6, 10)),
    "pointwise stride 2": Case((2, 5, 7, 6), (1, 1, 6, 10), (2, 2)),
    "pointwise padded": Case((2, 5, 7, 6), (1, 1, 6, 10), padding=((1, 1), (0, 0))),
    "pointwise grouped": Case((2, 5, 7, 6), (1, 1, 3, 10), groups=2),
    "full": Case((2, 7, 7, 3), (3, 3, 3, 8), (2, 2)),
}


def value_and_gradients(convolution: Any, case: Case, dtype: str) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=case.image).astype(dtype)
    kernel = random.normal(size=case.kernel).astype(dtype)

    def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolution(
            x,
            kernel,
            case.strides,
            case.padding,
            lhs_dilation=(1, 1),
            rhs_dilation=case.dilation,
            dimension_numbers=lax.conv_dimension_numbers(case.image, case.kernel, ("NHWC", "HWIO", "NHWC")),
            feature_group_count=case.groups,
        )

    cotangent = random.normal(size=jax.eval_shape(apply, x, kernel).shape).astype(dtype)

    @jax.jit
    def all_three(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, ...]:
        value, transpose = jax.vjp(apply, x, kernel)
        return (value, *transpose(cotangent))

    return [np.asarray(array) for array in all_three(x, kernel, cotangent)]


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_and_gradients_are_those_of_lax(case: Case, dtype: str, tolerance: float) -> None:
    with jax.enable_x64(dtype == "float64"):
        ours = value_and_gradients(conv_general_dilated, case, dtype)
        reference = value_and_gradients(lax.conv_general_dilated, case, dtype)
    for array, expected in zip(ours, reference, strict=True):
        assert array.shape == expected.shape
        assert array.dtype == expected.dtype == dtype
        assert np.abs(array - expected).max() <= tolerance * np.abs(expected).max()


def test_images_with_one_spatial_axis_are_left_to_lax() -> None:
    x, kernel = np.ones((2, 9, 4), np.float32), np.ones((3, 1, 4), np.float32)
    numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, ("NWC", "WIO", "NWC"))
    y = conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=numbers, feature_group_count=4)
    np.testing.assert_array_equal(y[:, 1:-1], np.full((2, 7, 4), 3.0))


def test_on_a_cpu_no_grouped_convolution_remains() -> None:
    x, kernel = np.ones((2, 8, 8, 4), np.float32), np.ones((3, 3, 1, 4), np.float32)
    numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))

    def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=4)

    lowered = jax.jit(apply).trace(x, kernel).lower(lowering_platforms=("cpu",)).as_text()
    assert "convolution" not in lowered
    lowered = jax.jit(apply).trace(x, kernel).lower(lowering_platforms=("tpu",)).as_text()
    assert "feature_group_count = 4" in lowered
