# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Why are the bottlenecks linear?
#
# MobileNetV2 keeps few channels between its blocks, expands them for the depthwise filter, and projects back without an
# activation. The paper's argument (§3.2, Figure 1): a ReLU in few channels destroys what they carry, in many it need
# not. We repeat the figure, ask the same of blocks that we train, and count channels that die.

# %%
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import mobilenet_v2 as mnv2
from mobilenet_v2.ablation.figure_style import COLOURS, MARKERS, STYLE
from mobilenet_v2.training.metrics import cross_entropy

plt.rcParams.update({**STYLE, "axes.axisbelow": True})

# %% [markdown]
# ## The paper's Figure 1
#
# A spiral in the plane, x, is put into n dimensions by a random matrix T, goes through a ReLU, and comes back by T's
# pseudo-inverse: T⁻¹ ReLU(T x). Without the ReLU it would come back as it was.

# %%
rng = np.random.default_rng(0)
turns = np.linspace(0, 1, 400)
angles = 4.5 * np.pi * turns
spiral_Nx2 = np.stack([turns * np.cos(angles), turns * np.sin(angles)], axis=1)
DIMENSIONS = (2, 3, 5, 15, 30)


def through_relu(x_Nx2: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Into n dimensions by a matrix of standard normal numbers, through a ReLU, and back by its pseudo-inverse."""
    matrix_2xn = rng.standard_normal((2, n))
    return np.maximum(x_Nx2 @ matrix_2xn, 0) @ np.linalg.pinv(matrix_2xn)


figure, panels = plt.subplots(1, 6, figsize=(11, 2.2), layout="constrained")
shown = {"input": spiral_Nx2, **{f"n = {n}": through_relu(spiral_Nx2, n, rng) for n in DIMENSIONS}}
for panel, (title, points_Nx2) in zip(panels, shown.items(), strict=True):
    panel.scatter(*points_Nx2.T, c=turns, cmap="viridis", s=3)
    panel.set_title(title)
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xticks([])
    panel.set_yticks([])
figure.suptitle("a spiral after T⁻¹ ReLU(T x), colour by the place on the spiral")
plt.show()

# %% [markdown]
# With 2 or 3 dimensions parts of the spiral fall onto a line or a point: different inputs become one. With 15 or 30 it
# is bent, and still a spiral. The reason is counting: a ReLU sets about half of n numbers to zero. As long as two that
# are not parallel stay, the plane can be computed back from them.
#
# One matrix is an anecdote. Over many, how many points are lost, because fewer than two of their n numbers are positive
# and others have the same image?


# %%
def lost(n: int, draws: int = 500) -> float:
    """Mean share of points of the spiral with fewer than two positive numbers among n."""
    matrices = rng.standard_normal((draws, 2, n))
    return float(np.mean(np.sum(spiral_Nx2[1:] @ matrices > 0, axis=-1) < 2))


counts = range(2, 13)
shares = [lost(n) for n in counts]
exact = [(1 + n) / 2**n for n in counts]
figure, axes = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
axes.plot(
    counts,
    [100 * share for share in shares],
    color=COLOURS[0],
    marker=MARKERS[0],
    linestyle="none",
    label="500 random matrices",
)
axes.plot(counts, [100 * share for share in exact], color="0.3", linewidth=1, label="(1 + n) / 2ⁿ")
axes.set_yscale("log")
axes.yaxis.set_major_formatter("{x:g} %")
axes.set_xlabel("n, dimensions that the ReLU acts in")
axes.set_ylabel("points that can't be computed back")
axes.legend()
plt.show()

# %% [markdown]
# Each number is positive with probability one half, independently of the others, because each column of T has a
# direction of its own: that is the line. Of a plane in 12 dimensions a third of a per cent is lost.
#
# ## The same of blocks that we train
#
# Two small networks learn scanned digits: the paper's, and one with a ReLU6 behind each projection too
# (`linear_bottleneck=False`). They have the same parameters. Three bottlenecks, of 8, 16 and 24 channels, feed a block
# with its expansion; the fourth, of `block_03`, only feeds the head. What they carry lies on some surface of unknown
# dimension instead of a plane.

# %%
digits = load_digits()
pixels = np.asarray(digits.images[..., None], np.float32)
images = (pixels - pixels[:1400].mean()) / pixels[:1400].std()
labels = np.asarray(digits.target, np.int32)
train_images, train_labels, test_images, test_labels = images[:1400], labels[:1400], images[1400:], labels[1400:]
STEPS, BATCH = 200, 64


def small_network(linear_bottleneck: bool) -> Any:
    """A MobileNetV2 of four blocks for pictures of 8×8 pixels."""
    return mnv2.create_model(
        num_classes=10,
        stem_channels=16,
        stem_stride=1,
        stages=((1, 8, 1, 1), (6, 16, 1, 2), (6, 24, 1, 1), (6, 32, 1, 1)),
        head_channels=64,
        dropout_rate=0.0,
        linear_bottleneck=linear_bottleneck,
        formulation="shifted",  # compiles sooner than fused blocks, which pay off in longer trainings
    )


def train(model: Any, variables: Any) -> Any:
    """Variables after `STEPS` steps of AdamW; the notebook `3_batch_norm_state` takes such a step apart."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(5e-3, STEPS))

    @jax.jit
    def step(params: Any, batch_stats: Any, opt_state: Any, rows: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            inputs = {"params": params, "batch_stats": batch_stats}
            logits, updated = model.apply(inputs, jnp.asarray(train_images)[rows], train=True, mutable=["batch_stats"])
            return jnp.mean(cross_entropy(logits, jnp.asarray(train_labels)[rows])), updated["batch_stats"]

        gradients, batch_stats = jax.grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), batch_stats, opt_state

    params, batch_stats, opt_state = variables["params"], variables["batch_stats"], optimizer.init(variables["params"])
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        rows = rng.integers(0, len(train_images), BATCH)
        params, batch_stats, opt_state = step(params, batch_stats, opt_state, rows)
    return {"params": params, "batch_stats": batch_stats}


models = {"linear": small_network(linear_bottleneck=True), "with ReLU6": small_network(linear_bottleneck=False)}
start = mnv2.init(models["linear"], image_size=8, channels=1)  # of the same shapes in both
trained = {name: train(model, start) for name, model in models.items()}

# %% [markdown]
# What comes out of each layer for all test digits, and how many of these are recognised. One short run of each shows
# that both have learned, and not which is better: that takes several seeds, `configs/ablations/bottleneck.py`.

# %%
BLOCKS = ("block_00", "block_01", "block_02", "block_03")
EXPANSIONS = [f"{block}/expansion" for block in BLOCKS[1:]]


@jax.jit
def outputs_of_linear(images: jax.Array) -> Any:
    """Bottlenecks, expansions and logits of the linear network."""
    return models["linear"].endpoints(trained["linear"], images, [*BLOCKS, *EXPANSIONS, "logits"])


@jax.jit
def outputs_of_relu(images: jax.Array) -> Any:
    """The same of the other."""
    return models["with ReLU6"].endpoints(trained["with ReLU6"], images, [*BLOCKS, *EXPANSIONS, "logits"])


outputs = {"linear": outputs_of_linear(test_images), "with ReLU6": outputs_of_relu(test_images)}
for name, found in outputs.items():
    print(f"{name:11} {np.mean(np.argmax(found['logits'], -1) == test_labels):.1%} of {len(test_labels)} digits")

# %% [markdown]
# ## How many channels die
#
# In the spiral's images each of the n numbers is zero on about half of the spiral, and none on all of it. Trained
# networks could do worse: a channel is dead if it is zero at every position of every test digit. The next block then
# has one input less.


# %%
def zeros(map_BxHxWxC: np.ndarray) -> np.ndarray:
    """For each channel, the share of its numbers that are exactly zero."""
    return np.mean(np.asarray(map_BxHxWxC) == 0, axis=(0, 1, 2))


print(f"{'':22}{'linear':>24}{'with ReLU6':>24}")
for layer in sorted([*BLOCKS, *EXPANSIONS]):
    cells = []
    for found in outputs.values():
        of_channels = zeros(found[layer])
        cells.append(f"{np.mean(of_channels):4.0%} zeros, {np.sum(of_channels == 1):2} of {len(of_channels):3} dead")
    print(f"{layer:22}" + "".join(f"{cell:>26}" for cell in cells))

# %%
figure, panels = plt.subplots(1, len(BLOCKS), figsize=(11, 2.8), sharey=True, layout="constrained")
for panel, block in zip(panels, BLOCKS, strict=True):
    for colour, marker, (name, found) in zip(COLOURS, MARKERS, outputs.items(), strict=False):
        of_channels = np.sort(zeros(found[block]))
        panel.plot(
            range(1, len(of_channels) + 1), 100 * of_channels, color=colour, marker=marker, markersize=3, label=name
        )
    panel.set_title(f"{block}: {len(of_channels)} channels")
    panel.set_xlabel("channels, sorted")
panels[0].set_ylabel("zeros among its numbers (%)")
panels[0].legend()
figure.suptitle("bottlenecks: what the activation takes of each channel")
plt.show()

# %% [markdown]
# Hardly any channel dies, in either network, as the table says: batch norm stands in front of each activation and
# centres its channel, so that the bias has to move far before nothing is positive. What dies are numbers, about half of
# them in every channel. In the expansions that is the paper's intention. In the bottlenecks of the second network it is
# half of the few numbers that go from block to block.
#
# ## How much comes back
#
# Figure 1 once more, with what the linear network's bottlenecks carry instead of a spiral: a vector x of n = 8, 16 or
# 24 numbers at each position of each digit. It goes through a random matrix into t·n dimensions, through a ReLU, and
# back by the linear map that fits best on training digits; we ask which share of the variance of the test digits' x
# comes back. A map that is not linear might recover more, so this is a lower bound.
#
# A star is the block's own trained expansion, t = 6 with its ReLU6; a cross is a ReLU6 on the bottleneck itself, as the
# other network has it. They are at t = 6 and t = 1, moved apart a little.


# %%
def rows_of(map_BxHxWxC: Any) -> np.ndarray:
    """A row a position: float64 [B·H·W, C]."""
    return np.asarray(map_BxHxWxC, np.float64).reshape(-1, map_BxHxWxC.shape[-1])


def recovered(code: tuple[np.ndarray, np.ndarray], x: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of x's variance that a linear map of its code gives back; of each a pair, to fit and to test."""
    fit, test = (np.column_stack([part, np.ones(len(part))]) for part in code)
    back = test @ np.linalg.lstsq(fit, x[0], rcond=None)[0]
    return 1 - np.sum((x[1] - back) ** 2) / np.sum((x[1] - x[1].mean(0)) ** 2)


of_training = outputs_of_linear(train_images[: len(test_images)])
EXPANSION_FACTORS = (0.5, 1, 2, 3, 4, 6, 10)
OUTLINED: dict[str, Any] = {"markeredgecolor": "black", "linestyle": "none"}
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for colour, marker, block, expansion, aside in zip(COLOURS, MARKERS, BLOCKS, EXPANSIONS, (-0.3, 0, 0.3), strict=False):
    x = rows_of(of_training[block]), rows_of(outputs["linear"][block])
    n = x[0].shape[1]
    shares = []
    for factor in EXPANSION_FACTORS:
        matrix = rng.standard_normal((n, round(factor * n)))
        code = tuple(np.maximum((part - x[0].mean(0)) @ matrix, 0) for part in x)
        shares.append(recovered(code, x))
    own = recovered((rows_of(of_training[expansion]), rows_of(outputs["linear"][expansion])), x)
    direct = recovered(tuple(np.clip(part, 0, 6) for part in x), x)
    axes.plot(
        EXPANSION_FACTORS, [100 * share for share in shares], color=colour, marker=marker, label=f"{block}, n = {n}"
    )
    axes.plot(6 + aside, 100 * own, marker="*", markersize=13, color=colour, **OUTLINED)
    axes.plot(1 + aside, 100 * direct, marker="X", markersize=9, color=colour, **OUTLINED)
    print(f"{block}: trained expansion {own:.1%}, ReLU6 on the bottleneck itself {direct:.1%}")
axes.set_xlabel("expansion factor t: the ReLU acts in t·n dimensions")
axes.set_ylabel("variance that comes back (%)")
axes.set_ylim(None, 102)
axes.plot([], [], marker="*", markersize=13, color="white", label="trained expansion", **OUTLINED)
axes.plot([], [], marker="X", markersize=9, color="white", label="ReLU6 on the bottleneck", **OUTLINED)
axes.legend(title="random matrices, and what networks have")
plt.show()

# %% [markdown]
# The wider the space that the activation acts in, the more of the narrow tensor survives it: this is why the activation
# sits inside the block, behind the expansion, and none sits on the bottleneck. A trained network is not obliged to
# keep everything: its job is to throw away what does not help to tell digits apart. What a linear bottleneck buys is
# that it can choose.
