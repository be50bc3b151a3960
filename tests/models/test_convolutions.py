import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mobilenet_v2.models.convolutions import conv_general_dilated
from tests.models.random_networks import QUICK


class Case(NamedTuple):
    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...] = (1, 1)
    padding: Any = "SAME"
    groups: int = 1
    dilation: tuple[int, ...] | None = None


SYMMETRIC = ((1, 1), (1, 1))
CASES = {
    "depthwise": Case((2, 8, 8, 6), (3, 3, 1, 6), groups=6),
    "depthwise stride 2": Case((2, 8, 8, 6), (3, 3, 1, 6), (2, 2), groups=6),
    "depthwise stride 2, odd": Case((2, 7, 9, 6), (3, 3, 1, 6), (2, 2), groups=6),
    "depthwise symmetric": Case((2, 8, 8, 6), (3, 3, 1, 6), padding=SYMMETRIC, groups=6),
    "depthwise symmetric stride 2": Case((2, 8, 8, 6), (3, 3, 1, 6), (2, 2), SYMMETRIC, groups=6),
    "depthwise symmetric stride 2, odd": Case((2, 7, 5, 6), (3, 3, 1, 6), (2, 2), SYMMETRIC, groups=6),
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
    "full of many channels": Case((2, 7, 7, 9), (3, 3, 9, 8), (2, 2)),
    "full dilated": Case((2, 9, 9, 3), (3, 3, 3, 8), dilation=(2, 2)),
    "stem of one odd image": Case((1, 225, 225, 3), (3, 3, 3, 4), (2, 2)),
    "stem of one odd image, symmetric": Case((1, 97, 131, 3), (3, 3, 3, 4), (2, 2), SYMMETRIC),
    "stem stride 1": Case((1, 31, 33, 3), (3, 3, 3, 4), padding=SYMMETRIC),
    "pointwise of one odd image": Case((1, 97, 131, 3), (1, 1, 3, 4)),
}


def value_and_gradients(convolution: Any, case: Case, dtype: str, rounded: str | None = None) -> list[np.ndarray]:
    """Value and both gradients, computed in `dtype`, of arrays rounded to `rounded`."""
    random = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return random.normal(size=shape).astype(jnp.dtype(rounded or dtype)).astype(jnp.dtype(dtype))

    x, kernel = draw(case.image), draw(case.kernel)

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

    cotangent = draw(jax.eval_shape(apply, x, kernel).shape)

    @functools.partial(jax.jit, compiler_options=QUICK if dtype == "float64" else None)
    def all_three(x: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, ...]:
        value, transpose = jax.vjp(apply, x, kernel)
        return (value, *transpose(cotangent))

    return [np.asarray(array) for array in all_three(x, kernel, cotangent)]


@functools.cache
def of_lax(case: Case, dtype: str) -> list[np.ndarray]:
    return value_and_gradients(lax.conv_general_dilated, case, dtype)


@pytest.mark.parametrize(
    "formulation, dtype, tolerance",
    [("auto", "float32", 1e-5), ("auto", "float64", 1e-12), ("shifted", "float64", 1e-12)],
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_and_gradients_are_those_of_lax(case: Case, formulation: str, dtype: str, tolerance: float) -> None:
    with jax.enable_x64(dtype == "float64"):
        ours = value_and_gradients(functools.partial(conv_general_dilated, formulation=formulation), case, dtype)
        reference = of_lax(case, dtype)
    for array, expected in zip(ours, reference, strict=True):
        assert array.shape == expected.shape
        assert array.dtype == expected.dtype == dtype
        assert np.abs(array - expected).max() <= tolerance * np.abs(expected).max()


BFLOAT16 = ["depthwise", "depthwise stride 2, odd", "pointwise", "stem of one odd image, symmetric"]


@pytest.mark.parametrize("name", BFLOAT16)
def test_bfloat16_is_summed_as_float32(name: str) -> None:
    # Rounding a result is worth 2⁻⁹ of it, and the patches' cotangents are rounded before they are added to pixels.
    # Sums of bfloat16 would be off by far more.
    ours = value_and_gradients(conv_general_dilated, CASES[name], "bfloat16")
    exact = value_and_gradients(lax.conv_general_dilated, CASES[name], "float32", rounded="bfloat16")
    for array, expected in zip(ours, exact, strict=True):
        assert array.dtype == jnp.bfloat16
        assert np.abs(array.astype(np.float32) - expected).max() <= 2**-7 * np.abs(expected).max()


def test_images_with_one_spatial_axis_are_left_to_lax() -> None:
    x, kernel = np.ones((2, 9, 4), np.float32), np.ones((3, 1, 4), np.float32)
    numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, ("NWC", "WIO", "NWC"))
    y = conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=numbers, feature_group_count=4)
    np.testing.assert_array_equal(y[:, 1:-1], np.full((2, 7, 4), 3.0))


def lowered(image: tuple[int, ...], kernel: tuple[int, ...], platform: str, **how: Any) -> str:
    numbers = lax.conv_dimension_numbers(image, kernel, ("NHWC", "HWIO", "NHWC"))
    strides, formulation = how.pop("strides", (1, 1)), how.pop("formulation", "auto")

    def apply(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv_general_dilated(
            x, kernel, strides, "SAME", dimension_numbers=numbers, formulation=formulation, **how
        )

    arrays = jax.ShapeDtypeStruct(image, np.float32), jax.ShapeDtypeStruct(kernel, np.float32)
    return jax.jit(apply).trace(*arrays).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("formulation", ["auto", "shifted", "fused"])
def test_on_a_cpu_no_grouped_convolution_remains(formulation: str) -> None:
    depthwise = functools.partial(lowered, (2, 8, 8, 4), (3, 3, 1, 4), feature_group_count=4, formulation=formulation)
    assert "convolution" not in depthwise("cpu")
    assert ("feature_group_count = 4" in depthwise("tpu")) == (formulation != "shifted")


@pytest.mark.parametrize("kernel, strides", [((3, 3, 3, 8), (2, 2)), ((1, 1, 3, 8), (1, 1))], ids=["stem", "pointwise"])
def test_on_a_cpu_stem_and_pointwise_convolutions_are_matrix_products(
    kernel: tuple[int, ...], strides: tuple[int, int]
) -> None:
    text = lowered((2, 9, 9, 3), kernel, "cpu", strides=strides)
    assert "dot_general" in text
    assert "convolution" not in text
    text = lowered((2, 9, 9, 3), kernel, "cuda", strides=strides)
    assert "dot_general" not in text
    assert "convolution" in text


@pytest.mark.parametrize("kernel, groups", [((3, 3, 1, 3), 3), ((3, 3, 3, 8), 1), ((1, 1, 3, 8), 1)])
def test_a_convolution_is_left_alone_where_lax_is_asked_for(kernel: tuple[int, ...], groups: int) -> None:
    text = lowered((2, 9, 9, 3), kernel, "cpu", feature_group_count=groups, formulation="lax")
    assert "stablehlo.convolution" in text
    assert "dot_general" not in text


@pytest.mark.parametrize("name", ["pointwise", "full"])
def test_matrix_products_may_be_mapped_over_images_and_kernels(name: str) -> None:
    case = CASES[name]
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(3, *case.image)), random.normal(size=(3, *case.kernel))
    numbers = lax.conv_dimension_numbers(case.image, case.kernel, ("NHWC", "HWIO", "NHWC"))

    def gradients(formulation: Any, x: jax.Array, kernel: jax.Array) -> Any:
        convolve = functools.partial(conv_general_dilated, dimension_numbers=numbers, formulation=formulation)
        return jax.grad(lambda x, k: (convolve(x, k, case.strides, "SAME") ** 3).sum(), (0, 1))(x, kernel)

    with jax.enable_x64(True):
        mapped = jax.jit(jax.vmap(functools.partial(gradients, "auto")))(x, kernel)
        one = jax.jit(functools.partial(gradients, "lax"))
        looped = [one(x[i], kernel[i]) for i in range(3)]
    for array, arrays in zip(mapped, zip(*looped, strict=True), strict=True):
        np.testing.assert_allclose(array, np.stack(arrays), rtol=1e-10, atol=1e-10)


def apply(x: jax.Array, kernel: jax.Array, layout: tuple[str, str, str], formulation: Any = "auto") -> jax.Array:
    numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, layout)
    return conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, formulation=formulation)


def test_another_layout_is_left_to_lax() -> None:
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 4, 4, 4)).astype("f"), random.normal(size=(4, 4, 1, 1)).astype("f")
    ours = apply(x, kernel, ("NCHW", "OIHW", "NCHW"))
    np.testing.assert_allclose(ours, np.einsum("nchw,oc->nohw", x, kernel[:, :, 0, 0]), rtol=1e-5, atol=1e-6)


def test_no_images_give_no_images() -> None:
    assert apply(np.ones((0, 4, 4, 3), "f"), np.ones((1, 1, 3, 5), "f"), ("NHWC", "HWIO", "NHWC")).shape == (0, 4, 4, 5)


def test_lax_alone_has_derivatives_in_forward_mode() -> None:
    x, kernel = np.ones((1, 4, 4, 3), "f"), np.ones((1, 1, 3, 5), "f")
    jax.jvp(lambda x: apply(x, kernel, ("NHWC", "HWIO", "NHWC"), "lax"), (x,), (x,))


def test_an_unknown_formulation_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="one of auto, lax, shifted, fused, got 'fast'"):
        apply(np.ones((1, 4, 4, 3), "f"), np.ones((1, 1, 3, 5), "f"), ("NHWC", "HWIO", "NHWC"), "fast")
