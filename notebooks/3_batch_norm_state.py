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
# # Batch norm's state
#
# A network in Flax is a pure function: the same variables and images give the same logits, and nothing is remembered.
# Batch norm has to remember something, the running mean and variance that evaluation normalises with. So they are
# variables of their own, `batch_stats`, which go into every training step and come out of it anew. This notebook
# threads them by hand, and then does it wrong in the ways in which it is usually done wrong.

# %%
import collections
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax.errors import ModifyScopeVariableError
from matplotlib.axes import Axes
from sklearn.datasets import load_digits

import mobilenet_v2 as mnv2
from mobilenet_v2.ablation.figure_style import COLOURS, STYLE
from mobilenet_v2.training.metrics import cross_entropy
from mobilenet_v2.training.optimizer import effective_ema_decay, update_ema

plt.rcParams.update({**STYLE, "axes.axisbelow": True})

# %% [markdown]
# 1,797 scanned digits of 8×8 pixels, and a network of three small blocks for them.

# %%
digits = load_digits()
pixels = np.asarray(digits.images[..., None], np.float32)
images = (pixels - pixels[:1400].mean()) / pixels[:1400].std()
labels = np.asarray(digits.target, np.int32)
train_images, train_labels, test_images, test_labels = images[:1400], labels[:1400], images[1400:], labels[1400:]

model = mnv2.create_model(
    num_classes=10,
    stem_channels=16,
    stem_stride=1,
    stages=((1, 8, 1, 1), (4, 16, 1, 2), (4, 16, 1, 1)),
    head_channels=64,
    dropout_rate=0.0,
    formulation="shifted",  # compiles sooner than fused blocks, which pay off in longer trainings
)
variables = mnv2.init(model, image_size=8, channels=1)

# %% [markdown]
# ## Two collections
#
# `params` has gradients. `batch_stats` has none: it is measured. Each batch norm has a scale and a bias in the one and
# a mean and a variance in the other.

# %%
print("block_01/depthwise/bn:")
for collection, modules in variables.items():
    for name, leaf in modules["block_01"]["depthwise"]["bn"].items():
        print(f"  {collection:12}{name:6}{leaf.dtype} {leaf.shape}, from {leaf.min():g} to {leaf.max():g}")

# %% [markdown]
# ## What `mutable` does
#
# With `train=True` batch norm normalises by the batch's own moments and wants to update the running ones. Flax lets it
# only if we say that this collection may change:

# %%
batch = train_images[:128]
try:
    model.apply(variables, batch, train=True)
except ModifyScopeVariableError as error:
    print(type(error).__name__, "–", str(error).split(". ")[0])

logits, updated = model.apply(variables, batch, train=True, mutable=["batch_stats"])
print("with mutable:", logits.shape, "and", list(updated))

# %% [markdown]
# Nothing was changed in place: the new statistics are in `updated`. They are the old ones, moved a tenth of the way to
# the batch's (`batch_norm_momentum` is 0.9, the weight of the old value). By hand, for the stem:

# %%
kernel = variables["params"]["stem"]["conv"]["kernel"]
convolved = jax.lax.conv_general_dilated(
    batch, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
)
old, new = variables["batch_stats"]["stem"]["bn"], updated["batch_stats"]["stem"]["bn"]
for name, moment in {"mean": convolved.mean((0, 1, 2)), "var": convolved.var((0, 1, 2))}.items():
    by_hand = 0.9 * old[name] + 0.1 * moment
    np.testing.assert_allclose(new[name], by_hand, rtol=1e-4, atol=1e-5)
    print(f"{name}: old {old[name][0]:.4f}, the batch's {moment[0]:.4f}, new {new[name][0]:.4f}  (first channel)")

# %% [markdown]
# ## A training step
#
# The statistics go in as an argument and come out beside the loss, as what `jax.grad` calls `aux`: that is all.
# `mobilenet_v2/training/steps.py` is this, with masks, mixing, accumulation and averages around it.

# %%
STEPS, BATCH = 150, 64
optimizer = optax.adamw(optax.cosine_decay_schedule(5e-3, STEPS))


@jax.jit
def train_step(params: Any, batch_stats: Any, opt_state: Any, image: jax.Array, label: jax.Array) -> Any:
    """One step: the next parameters, statistics and optimizer state, and the loss before it."""

    def loss(params: Any) -> tuple[jax.Array, Any]:
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats}, image, train=True, mutable=["batch_stats"]
        )
        return jnp.mean(cross_entropy(logits, label)), updated["batch_stats"]

    (value, batch_stats), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), batch_stats, opt_state, value


@jax.jit
def accuracy(params: Any, batch_stats: Any) -> jax.Array:
    """Share of the test digits that are recognised, normalised by running statistics."""
    logits = model.apply({"params": params, "batch_stats": batch_stats}, test_images, train=False)
    return jnp.mean(jnp.argmax(logits, axis=-1) == test_labels)


# %% [markdown]
# ## With statistics, and without
#
# We train once and score the test digits every fifth step: with the statistics that were threaded, and with those of
# step 0, means of 0 and variances of 1, as if their update had been dropped on the way. One training is enough to show
# both, because in training mode a network never reads the running statistics: who forgets to thread them gets the same
# losses and gradients to the bit, and sees nothing wrong until the evaluation.
#
# And a third: threaded statistics that began as what is measured of the first weights. After k steps a running average
# still holds 0.9ᵏ of what it began with, so the third is the first plus 0.9ᵏ times the difference of the beginnings.
# What averages of the weights (EMA) have to do with this comes below.


# %%
@jax.jit
def measured_anew(params: Any) -> Any:
    """The statistics of these parameters, of all training digits at once: a momentum of 0 keeps nothing of the old."""
    forgetful = model.clone(batch_norm_momentum=0.0)
    inputs = {"params": params, "batch_stats": variables["batch_stats"]}
    return forgetful.apply(inputs, train_images, train=True, mutable=["batch_stats"])[1]["batch_stats"]


@jax.jit
def begun_as(other: Any, batch_stats: Any, steps: int) -> Any:
    """Running statistics after so many steps, had they begun as `other` and not as the network's own."""
    return jax.tree.map(
        lambda now, first, other: now + 0.9**steps * (other - first), batch_stats, variables["batch_stats"], other
    )


rng = np.random.default_rng(0)
params, batch_stats = variables["params"], variables["batch_stats"]
measured = measured_anew(params)
average = params, batch_stats, measured
opt_state = optimizer.init(params)
losses, curves = [], collections.defaultdict(list)
for step in range(STEPS):
    rows = rng.integers(0, len(train_images), BATCH)
    params, batch_stats, opt_state, value = train_step(
        params, batch_stats, opt_state, train_images[rows], train_labels[rows]
    )
    begun_measured = begun_as(measured, batch_stats, step + 1)
    average = update_ema(average, (params, batch_stats, begun_measured), effective_ema_decay(0.95, step))
    losses.append(float(value))
    if step % 5 == 4:
        ema_params, ema_batch_stats, ema_begun_measured = average
        for name, pair in {
            "threaded": (params, batch_stats),
            "dropped": (params, variables["batch_stats"]),
            "threaded, begun as measured": (params, begun_measured),
            "averaged": (ema_params, ema_batch_stats),
            "current": (ema_params, batch_stats),
            "averaged, begun as measured": (ema_params, ema_begun_measured),
            "current, begun as measured": (ema_params, begun_measured),
            "measured anew": (ema_params, measured_anew(ema_params)),
        }.items():
            curves[name].append(accuracy(*pair))


# %%
BEGUN = ", begun as measured"


def draw(axes: Axes, names: list[str]) -> None:
    """Accuracy against the step, a line for each way to get the statistics."""
    for colour, style, name in zip(COLOURS, ("-", "--", "-.", ":"), names, strict=False):
        label = name.replace(BEGUN, ",\nbegun as measured")
        axes.plot(range(5, STEPS + 1, 5), 100 * np.array(curves[name]), style, color=colour, label=label)
    axes.axhline(10, color="0.4", linewidth=1)
    axes.annotate("guessing", (STEPS, 10), (0, -11), textcoords="offset points", size=8, ha="right")
    axes.set_ylim(0, 102)
    axes.set_xlabel("step")
    axes.set_ylabel(f"accuracy on {len(test_labels)} test digits (%)")
    axes.legend(title="statistics", loc="center right", bbox_to_anchor=(1, 0.4))


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(range(1, STEPS + 1), losses, color="0.3", linewidth=1)
left.set_yscale("log")
left.set_xlabel("step")
left.set_ylabel("training loss (nats)")
left.set_title("the loss: the same for all three")
draw(right, ["threaded", "dropped", "threaded" + BEGUN])
right.set_title("the evaluation")
plt.show()
print("after the last step:", ", ".join(f"{name} {curves[name][-1]:.1%}" for name in ("threaded", "dropped")))

# %% [markdown]
# Threaded statistics, too, are of no use for 30 steps: not because they follow slowly, but because they began with a
# variance of 1, and the depthwise convolutions of a new network give far smaller ones. Until 0.9ᵏ falls below such a
# variance, the larger part of the average is what it began with. Begun as measured, they are of use from the beginning.

# %%
for block in ("block_00", "block_01", "block_02"):
    variance = float(jnp.mean(measured[block]["depthwise"]["bn"]["var"]))
    print(f"{block}/depthwise at step 0: variance {variance:.3f} = 0.9^{np.log(variance) / np.log(0.9):.0f}")

# %% [markdown]
# That the training is the same whatever its statistics is worth a check: three steps with them threaded, and three with
# those of step 0 each time. Losses and parameters agree in every bit.


# %%
def three_steps(keep: bool) -> tuple[list[float], Any]:
    """Losses and parameters of three steps from the start; `keep`: statistics are threaded."""
    params, batch_stats = variables["params"], variables["batch_stats"]
    opt_state, losses = optimizer.init(params), []
    for start in range(0, 3 * BATCH, BATCH):
        rows = slice(start, start + BATCH)
        params, updated, opt_state, value = train_step(
            params, batch_stats, opt_state, train_images[rows], train_labels[rows]
        )
        batch_stats = updated if keep else batch_stats
        losses.append(float(value))
    return losses, params


(threaded, params_threaded), (dropped, params_dropped) = three_steps(keep=True), three_steps(keep=False)
assert threaded == dropped
assert jax.tree.all(jax.tree.map(np.array_equal, params_threaded, params_dropped))
print("losses of both:", threaded)

# %% [markdown]
# ## Which statistics go with averaged weights?
#
# An average over steps of the weights (EMA) is often better than the last weights, and its activations have other means
# and variances than theirs. Three ways to get some: average the running statistics as well, take the current ones, or
# measure them anew on the training digits, which is what the other two approximate.

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for axes, begun, title in zip(panels, ("", BEGUN), ("statistics begun as 0 and 1", "begun as measured"), strict=True):
    draw(axes, ["averaged" + begun, "current" + begun, "measured anew"])
    axes.set_title(f"averaged weights, {title}")
panels[1].set_ylabel("")
plt.show()
print(
    "after the last step:",
    ", ".join(f"{name} {curves[name][-1]:.1%}" for name in ("averaged", "current", "measured anew")),
)

# %% [markdown]
# On the left both are late, for the same reason: they began with a variance of 1, which an average of the average
# forgets later still; by step 60, long before the learning rate is small, it is forgotten. On the right that cause is
# taken away. What remains is a lag: running statistics are of weights of some steps before, and averaged ones of yet
# earlier ones, which costs some points while the weights move fast. At the end a few digits of the test set differ.
# Current statistics are of the last ten batches or so and noisy, averaged ones are smooth.
#
# `training.steps.train_step` averages both, as TF-slim does, with one decay that starts small
# (`effective_ema_decay`), and evaluates `ema_variables` as a pair. So don't judge an average early in a run. And in a
# run much shorter than 1 / (1 − `ema_decay`) steps lower the decay.
#
# ## Evaluation in training mode
#
# Another way to get it wrong is to evaluate with `train=True`. Then a prediction depends on which other pictures happen
# to be in the batch. The same weights, the same test digits, in batches of 32:

# %%
last = {"params": params, "batch_stats": batch_stats}
by_running = jax.jit(lambda image: model.apply(last, image, train=False))
by_batch = jax.jit(lambda image: model.apply(last, image, train=True, mutable=["batch_stats"])[0])


def batched_accuracy(logits_of: Any, order: np.ndarray, size: int = 32) -> float:
    """Accuracy where pictures come in this order; those that fill no batch are left out."""
    order = order[: len(order) // size * size].reshape(-1, size)
    return float(np.mean([np.argmax(logits_of(test_images[rows]), -1) == test_labels[rows] for rows in order]))


mixed, sorted_ = rng.permutation(len(test_labels)), np.argsort(test_labels, kind="stable")
shares = {
    "running, mixed": batched_accuracy(by_running, mixed),
    "running, sorted by class": batched_accuracy(by_running, sorted_),
    "the batch's, mixed": batched_accuracy(by_batch, mixed),
    "the batch's, sorted by class": batched_accuracy(by_batch, sorted_),
}
figure, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
bars = axes.barh(list(shares), [100 * share for share in shares.values()], color=[COLOURS[0]] * 2 + [COLOURS[1]] * 2)
axes.bar_label(bars, [f"{share:.1%}" for share in shares.values()], padding=3)
axes.set_xlim(0, 115)
axes.invert_yaxis()
axes.set_xlabel("accuracy on the test digits (%)")
axes.set_title("whose statistics, and how batches are made", loc="left")
plt.show()

# %% [markdown]
# Running statistics don't care about order, but for the few digits that fill no batch. The batch's own do: where all
# digits of a batch are fours, what makes a four different from the average digit is subtracted.
#
# ## What to keep of this
#
# - Pass `mutable=["batch_stats"]` in training, and carry what comes back. The state of this package,
#   `training.state.TrainState`, has `params`, `batch_stats` and the averages of both; `train_step` returns a new one.
# - A training loss says nothing about whether the statistics are right. Evaluate early.
# - Fine-tuning few pictures may leave the statistics as they were: `config.train.frozen_batch_norm=True` normalises by
#   them in training, too, and `config.train.frozen="backbone"` keeps all of the backbone. See the notebook
#   `5_fine_tune`.
