import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilenet_v2.models import fused_block, stand_in
from mobilenet_v2.models.layers import ConvNormAct, Padding, spatial_padding
from mobilenet_v2.models.mobilenet_v2 import InvertedResidual, MobileNetV2
from tests.models.random_networks import QUICK, distance, images, random_variables, small, train


class Block(nn.Module):
    """One inverted residual: flax's own layers over lax's convolutions, or fused."""

    features: int
    expansion_factor: int
    stride: int
    padding: Padding
    dtype: Any = np.float64
    fused: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        conv = functools.partial(nn.Conv, dtype=self.dtype)
        norm = functools.partial(nn.BatchNorm, momentum=0.7, epsilon=1e-3, dtype=self.dtype)
        instead = functools.partial(
            stand_in.apply, padding=spatial_padding(self.padding, 3), epsilon=1e-3, momentum=0.7
        )
        return InvertedResidual(
            self.features,
            self.expansion_factor,
            self.stride,
            layer=functools.partial(ConvNormAct, conv=conv, norm=norm, padding=self.padding),
            channel_divisor=1,
            stand_in=instead if self.fused else None,
            name="block",
        )(x, train)


def everything(module: Any, variables: Any, x: Any) -> dict[str, Any]:
    """Outputs in evaluation and in training, `batch_stats` after training, and gradients of its output."""
    evaluated = module.apply(variables, x, train=False)
    output, batch_stats, gradients = train(module, variables, x)
    return {"evaluated": evaluated, "output": output, "batch_stats": batch_stats, "gradients": gradients}


def distances(block: Block, x: np.ndarray, tile_bytes: int) -> dict[str, float]:
    """How far the fused block is from the block of layers, by what is compared."""
    variables = random_variables(block, x, x.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_block, "Settings", functools.partial(fused_block.Settings, tile_bytes=tile_bytes))
        ours, plain = (
            jax.jit(functools.partial(everything, module), compiler_options=QUICK)(variables, x)
            for module in (block.clone(fused=True), block)
        )
    return {name: distance(ours[name], plain[name]) for name in plain}


blocks = st.builds(
    Block,
    features=st.integers(1, 6),
    expansion_factor=st.sampled_from([1, 1, 2, 3, 6]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["same", "symmetric"]),
)
shapes = st.tuples(st.integers(1, 6), st.integers(1, 13), st.integers(1, 13), st.integers(1, 6))
# One image a tile, some, and all.
tiles = st.sampled_from([1, 2**14, 2**30])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(blocks, shapes, tiles)
def test_a_fused_block_is_the_block_of_layers(block: Block, shape: tuple[int, ...], tile_bytes: int) -> None:
    with jax.enable_x64(True):
        found = distances(block, images(*shape, dtype=np.float64), tile_bytes)
    assert found.pop("evaluated") <= 1e-12
    assert max(found.values()) <= 1e-10, found


@pytest.mark.parametrize("expansion_factor, stride", [(1, 1), (4, 1), (4, 2)])
def test_in_float32_a_fused_block_differs_by_rounding_only(expansion_factor: int, stride: int) -> None:
    block = Block(8, expansion_factor, stride, "symmetric", dtype=np.float32)
    found = distances(block, images(4, 14, 11, 8), 2**14)
    assert max(found[name] for name in ("evaluated", "output", "batch_stats")) <= 1e-5, found
    assert found["gradients"] <= 1e-4, found


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 1, 3), (1, 1, 2, 3)], ids=str)
def test_images_of_a_pixel_or_two_are_normalised_alike(shape: tuple[int, ...]) -> None:
    with jax.enable_x64(True):
        found = distances(Block(3, 2, 2, "same"), images(*shape, dtype=np.float64), 1)
    assert max(found.values()) <= 1e-10, found


@pytest.mark.parametrize("level", [0.0, 6.0])
def test_what_lies_exactly_where_relu6_bends_has_no_gradient(level: float) -> None:
    # With a scale of 0 every activation is the bias.
    block, x = Block(3, 2, 1, "same"), images(2, 5, 5, 3, dtype=np.float64)

    def silence(path: Any, leaf: np.ndarray) -> np.ndarray:
        fixed = {"scale": 0.0, "bias": level}.get(path[-1].key)
        return leaf if fixed is None or path[-3].key == "project" else np.full_like(leaf, fixed)

    with jax.enable_x64(True):
        variables = random_variables(block, x, np.float64)
        variables = {**variables, "params": jax.tree.map_with_path(silence, variables["params"])}
        for module in (block, block.clone(fused=True)):
            _, _, (gradient, _) = jax.jit(functools.partial(train, module))(variables, x)
            for name in ("expand", "depthwise"):
                assert all(not leaf.any() for leaf in jax.tree.leaves(gradient["block"][name]))


def test_relu6_clips_at_both_ends_in_these_tests() -> None:
    block, x = Block(4, 3, 1, "same", dtype=np.float32), images(3, 9, 8, 5)
    variables = random_variables(block, x)
    seen = functools.partial(
        block.apply,
        variables,
        x,
        capture_intermediates=lambda module, _: module.name in ("expand", "depthwise"),
    )
    for train_now in (False, True):
        _, state = seen(train=train_now, mutable=["intermediates", "batch_stats"])
        for layer in state["intermediates"]["block"].values():
            output = layer["__call__"][0]
            for clipped in (output == 0, output == 6, (output > 0) & (output < 6)):
                assert clipped.mean() > 0.02


@pytest.mark.parametrize("side, padding", [(9, "same"), (14, "symmetric")])
def test_a_network_of_fused_blocks_is_the_plain_network(side: int, padding: Padding) -> None:
    model = small(formulation="lax", padding=padding, dtype=np.float64)
    x = images(4, side, side, 3, dtype=np.float64)
    with jax.enable_x64(True):
        variables = random_variables(model, x, np.float64)
        fused, plain = (
            jax.jit(functools.partial(everything, module), compiler_options=QUICK)(variables, x)
            for module in (model.clone(formulation="fused"), model)
        )
        assert distance(fused.pop("evaluated"), plain.pop("evaluated")) <= 1e-12
        for name in plain:
            assert distance(fused[name], plain[name]) <= 1e-10, name


def test_fused_networks_may_be_tuned_with_running_statistics() -> None:
    model, x = small(formulation="lax", dtype=np.float64), images(3, 9, 9, 3, dtype=np.float64)

    def gradients(module: Any, variables: Any, x: Any) -> Any:
        return jax.grad(lambda v, x: (module.apply(v, x, train=False) ** 2).sum(), (0, 1))(variables, x)

    with jax.enable_x64(True):
        variables = random_variables(model, x, np.float64)
        fused, plain = (
            jax.jit(functools.partial(gradients, module), compiler_options=QUICK)(variables, x)
            for module in (model.clone(formulation="fused"), model)
        )
        assert distance(fused, plain) <= 1e-10


def test_fused_networks_may_be_mapped_over_replicas() -> None:
    model, x = small(formulation="fused", dtype=np.float64), images(2, 4, 9, 9, 3, dtype=np.float64)
    with jax.enable_x64(True):
        one = random_variables(model, x[0], np.float64)
        replicas = jax.tree.map(lambda leaf: np.stack([leaf, leaf * 1.1]), one)
        step = functools.partial(train, model)
        mapped = jax.jit(jax.vmap(step), compiler_options=QUICK)(replicas, x)
        step = jax.jit(functools.partial(train, model.clone(formulation="lax")), compiler_options=QUICK)
        looped = [step(jax.tree.map(lambda leaf, i=i: leaf[i], replicas), x[i]) for i in range(2)]
        assert distance(mapped, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped)) <= 1e-10


@pytest.mark.slow
def test_the_papers_17_blocks_fused_have_the_gradients_of_flax_layers() -> None:
    model = MobileNetV2(width_multiplier=0.35, num_classes=10, dropout_rate=0.0, dtype=np.float64, formulation="lax")
    x = images(4, 64, 64, 3, dtype=np.float64)
    with jax.enable_x64(True):
        variables = random_variables(model, x, np.float64)
        fused, plain = (
            jax.jit(functools.partial(train, module), compiler_options=QUICK)(variables, x)
            for module in (model.clone(formulation="fused"), model)
        )
        for ours, reference in zip(fused, plain, strict=True):
            assert distance(ours, reference) <= 1e-10


def test_gradients_have_the_parameters_type_whatever_the_default() -> None:
    with jax.enable_x64(True):
        x = images(2, 9, 9, 3)
        model = small(formulation="fused")
        variables = random_variables(model, x)
        _, _, (gradients, _) = jax.jit(lambda v, x: train(model, v, x))(variables, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}
