import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.layers import ConvNormAct
from mobilenet_v2.models.mobilenet_v2 import InvertedResidual, MobileNetV2, Stage

BLOCKS = [f"block_{index:02d}" for index in range(17)]
WITH_SHORTCUT = {f"block_{index:02d}" for index in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)}


def tiny(**fields: Any) -> MobileNetV2:
    small = {"num_classes": 5, "stem_channels": 8, "head_channels": 16}
    return MobileNetV2(**{**small, "stages": (Stage(1, 8, 1, 1), Stage(2, 8, 2, 2)), **fields})


def images(side: int = 8, count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, side, side, 3)).astype(np.float32)


def shapes(model: MobileNetV2, side: int = 32) -> dict[str, Any]:
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False))


@functools.cache
def tiny_variables() -> dict[str, Any]:
    return jax.jit(lambda x: tiny().init(jax.random.key(0), x, train=False))(images())


def test_the_paper_network_has_17_blocks_between_stem_and_head() -> None:
    params = shapes(MobileNetV2())["params"]
    assert set(params) == {"stem", *BLOCKS, "head", "classifier"}
    assert set(params["block_00"]) == {"depthwise", "project"}
    assert all(set(params[name]) == {"expand", "depthwise", "project"} for name in BLOCKS[1:])
    assert all(set(params[name]["project"]) == {"conv", "bn"} for name in BLOCKS)
    assert params["classifier"]["kernel"].shape == (1280, 1000)


def test_only_the_classifier_has_a_bias_beside_batch_norm() -> None:
    biases = {path for path in flatten_dict(shapes(tiny())["params"]) if path[-1] == "bias" and path[-2] != "bn"}
    assert biases == {("classifier", "bias")}


def test_a_block_adds_its_input_where_stride_and_channels_allow_and_nowhere_else() -> None:
    # Every projection is muted and replaced by a constant, so that a block's output is what the shortcut adds to it.
    model = MobileNetV2()
    flat: dict[tuple[str, ...], Any] = flatten_dict(shapes(model))
    variables = {
        path: jnp.ones(leaf.shape) if path[-1] == "var" else jnp.zeros(leaf.shape) for path, leaf in flat.items()
    }
    for path, leaf in variables.items():
        if path[2:] == ("project", "bn", "bias"):
            variables[path] = leaf + 1.0
    _, state = jax.jit(
        lambda v, x: model.apply(
            v,
            x,
            train=False,
            capture_intermediates=lambda module, _: isinstance(module, InvertedResidual),
            mutable=["intermediates"],
        )
    )(unflatten_dict(variables), images(32, 1))
    before, adding = 0.0, set()
    for name in BLOCKS:
        output = state["intermediates"][name]["__call__"][0]
        value = float(output.ravel()[0])
        np.testing.assert_array_equal(output, jnp.full_like(output, value))
        assert value in (1.0, before + 1.0)
        if name != "block_00" and value == before + 1.0:
            adding.add(name)
        before = value
    assert adding == WITH_SHORTCUT


def test_expansion_and_depthwise_are_clipped_but_the_bottleneck_is_linear() -> None:
    variables: Any = tiny_variables()
    scaled = jax.tree.map_with_path(
        lambda path, leaf: leaf * 100 if path[-1].key == "scale" else leaf, variables["params"]
    )
    _, state = tiny().apply(
        {**variables, "params": scaled},
        images(),
        train=False,
        capture_intermediates=lambda module, _: isinstance(module, ConvNormAct),
        mutable=["intermediates"],
    )
    for name, layer in flatten_dict(state["intermediates"]).items():
        output = layer[0]
        if name[-2] == "project":
            assert output.min() < 0
            assert output.max() > 6
        else:
            assert output.min() == 0
            assert output.max() == 6


def test_expansion_factor_1_has_no_expansion_convolution() -> None:
    params = shapes(tiny(expansion_factor=1, stages=(Stage(None, 8, 2, 1),)))["params"]
    assert all(set(params[name]) == {"depthwise", "project"} for name in ("block_00", "block_01"))


def test_a_stage_may_have_its_own_expansion_factor() -> None:
    params = shapes(tiny(expansion_factor=3, stages=(Stage(None, 8, 1, 1), Stage(5, 8, 2, 1))))["params"]
    widths = [params[f"block_{index:02d}"]["depthwise"]["conv"]["kernel"].shape for index in range(3)]
    assert widths == [(3, 3, 1, 24), (3, 3, 1, 40), (3, 3, 1, 40)]


def test_the_first_block_of_a_stage_takes_its_stride() -> None:
    strides = [stride for _, _, stride in MobileNetV2().blocks()]
    assert [name for name, stride in zip(BLOCKS, strides, strict=True) if stride == 2] == [
        "block_01",
        "block_03",
        "block_06",
        "block_13",
    ]


@pytest.mark.parametrize(
    "rule, width, channels",
    [
        ("paper", 0.35, 1280),
        ("paper", 1.0, 1280),
        ("paper", 1.4, 1792),
        ("shrink", 0.35, 448),
        ("shrink", 1.4, 1792),
        ("fixed", 0.35, 1280),
        ("fixed", 1.4, 1280),
    ],
)
def test_the_head_is_as_wide_as_its_rule_says(rule: Any, width: float, channels: int) -> None:
    model = tiny(width_multiplier=width, head_channels=1280, head_rule=rule)
    assert model.head_width() == channels
    assert shapes(model)["params"]["classifier"]["kernel"].shape == (channels, 5)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("side, features", [(225, 8), (224, 7), (97, 4), (1, 1)])
def test_every_stride_halves_a_side_and_rounds_up(padding: Any, side: int, features: int) -> None:
    model = tiny(padding=padding, stages=(Stage(1, 8, 1, 2), Stage(1, 8, 1, 2), Stage(1, 8, 1, 2), Stage(1, 8, 1, 2)))

    def last(x: jax.Array) -> Any:
        found = lambda module, _: module.name == "head"  # noqa: E731
        variables = model.init(jax.random.key(0), x, train=False)
        _, state = model.apply(variables, x, train=False, capture_intermediates=found, mutable=["intermediates"])
        return state["intermediates"]["head"]["__call__"][0]

    assert jax.eval_shape(last, jnp.zeros((2, side, side, 3))).shape == (2, features, features, 16)


def test_padding_families_differ_in_value_on_even_sides() -> None:
    logits = [tiny(padding=padding).apply(tiny_variables(), images(), train=False) for padding in ("same", "symmetric")]
    assert np.abs(np.subtract(*logits)).max() > 1e-3 * np.abs(logits[0]).max()


def test_bfloat16_is_for_computing_only() -> None:
    model = tiny(dtype=jnp.bfloat16)

    def everything(x: jax.Array) -> Any:
        variables = model.init(jax.random.key(0), x, train=False)
        logits, updated = model.apply(
            variables,
            x,
            train=True,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: isinstance(module, ConvNormAct),
            rngs={"dropout": jax.random.key(0)},
        )
        return variables, logits, updated

    variables, logits, updated = jax.eval_shape(everything, jnp.zeros((2, 8, 8, 3)))
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated["batch_stats"]))} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(updated["intermediates"])} == {jnp.dtype("bfloat16")}
    assert logits.dtype == jnp.float32


def test_bfloat16_logits_are_near_those_of_float32() -> None:
    exact = tiny().apply(tiny_variables(), images(), train=False)
    rounded = tiny(dtype=jnp.bfloat16).apply(tiny_variables(), images(), train=False)
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()


def train_logits(model: MobileNetV2, seed: int) -> Any:
    logits, updated = model.apply(
        tiny_variables(), images(), train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(seed)}
    )
    return logits, updated["batch_stats"]


def test_dropout_acts_in_training_only() -> None:
    model = tiny(dropout_rate=0.5)
    assert not np.allclose(train_logits(model, 0)[0], train_logits(model, 1)[0])
    np.testing.assert_array_equal(train_logits(model, 1)[0], train_logits(model, 1)[0])
    without = tiny(dropout_rate=0.0)
    np.testing.assert_array_equal(train_logits(without, 0)[0], train_logits(without, 1)[0])
    evaluated = [m.apply(tiny_variables(), images(), train=False) for m in (model, without)]
    np.testing.assert_array_equal(*evaluated)


def test_training_moves_every_running_statistic_and_evaluation_none() -> None:
    before = tiny_variables()["batch_stats"]
    _, after = train_logits(tiny(), 0)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), after, before)))
    _, kept = tiny().apply(tiny_variables(), images(), train=False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], before)


def test_momentum_is_the_weight_of_the_old_statistic() -> None:
    before = tiny_variables()["batch_stats"]
    _, batch = train_logits(tiny(batch_norm_momentum=0.0), 0)
    _, after = train_logits(tiny(batch_norm_momentum=0.75), 0)
    expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, before, batch)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), after, expected)


def test_evaluation_of_an_image_does_not_depend_on_its_batch() -> None:
    logits = tiny().apply(tiny_variables(), images(), train=False)
    alone = tiny().apply(tiny_variables(), images()[1:2], train=False)
    np.testing.assert_allclose(logits[1:2], alone, rtol=1e-4, atol=1e-6)


def test_epsilon_is_added_to_the_variance() -> None:
    variables: Any = tiny_variables()
    silent = {**variables, "batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"])}
    _, small = stem_output(tiny(batch_norm_epsilon=1.0), silent)
    _, large = stem_output(tiny(batch_norm_epsilon=4.0), silent)
    np.testing.assert_allclose(small, 2 * large, rtol=1e-5)


def stem_output(model: MobileNetV2, variables: Any) -> tuple[jax.Array, jax.Array]:
    logits, state = model.clone(activation=lambda x: x).apply(
        variables,
        images(),
        train=False,
        mutable=["intermediates"],
        capture_intermediates=lambda module, _: module.name == "stem",
    )
    return logits, state["intermediates"]["stem"]["__call__"][0]


def test_a_network_is_built_from_plain_fields() -> None:
    built = build_model({"num_classes": 7, "stages": [[1, 16, 1, 1], [None, 24, 2, 2]], "dtype": "bfloat16"})
    assert built == MobileNetV2(num_classes=7, stages=(Stage(1, 16, 1, 1), Stage(None, 24, 2, 2)), dtype=jnp.bfloat16)
