"""The train and eval steps: pure functions, and the only place where batch statistics are threaded.

A batch is {"image": uint8 [B, H, W, C], "label": int32 [B], "mask": float32 [B]}. Images are normalised here, on the
device. Rows of mask 0 (padding, unreadable images) count in no mean; in training they do pass through batch
norm, as black images, because a masked mean would cost every step something for what hardly ever happens.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from mobilenet_v2.training import mixing
from mobilenet_v2.training.frozen import trained
from mobilenet_v2.training.metrics import example_sums
from mobilenet_v2.training.optimizer import effective_ema_decay, update_ema
from mobilenet_v2.training.random_keys import named_key
from mobilenet_v2.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]
# Makes whole what is split over devices, see `sharding.gathered`: parameters, before anything is computed with them,
# and gradients, of which each device then takes its part. Left alone, XLA would split the network by channels where
# kernels are split so, and devices would exchange activations.
Gather = Callable[[Any], Any]


def train_step(
    state: TrainState,
    batch: Batch,
    rng: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    config: ConfigDict,
    gather: Gather = lambda tree: tree,
) -> tuple[TrainState, Metrics]:
    """One optimizer step on one global batch.

    With `accumulation_steps` n the batch is cut into n micro-batches. Each is normalised by its own statistics, and
    each updates the running ones; `setup.jit_steps` gives `model` the momentum ** (1 / n), so that a step forgets as
    much as it would uncut.

    Of what `config.train.frozen` names there are no gradients: it keeps its bits, and so do its averages.

    A step whose loss, gradient or result is not finite changes nothing but the step count; `nonfinite` says so.

    Returns:
      The next state; and sums, see `metrics.example_sums`, with `nonfinite`, `steps` and the Euclidean norms of what
      trains: `gradient_norm`, `update_norm` and, after the update, `parameter_norm`.
    """
    rng = jax.random.fold_in(rng, state.step)
    batch = mixing.with_mixture(batch, rng, config.augment)
    whole = state.replace(params=gather(state.params))
    gradients, batch_stats, sums = _accumulate(whole, batch, rng, model, config)
    gradients = gather(gradients)
    before = trained(state.params, config.train.frozen)
    updates, opt_state = optimizer.update(gradients, state.opt_state, before)
    after: Any = optax.apply_updates(before, updates)
    new = state.replace(params={**state.params, **after}, batch_stats=batch_stats, opt_state=opt_state)
    if state.ema_params is not None:
        decay = effective_ema_decay(config.optimizer.ema_decay, state.step)
        new = new.replace(
            ema_params=update_ema(state.ema_params, new.params, decay),
            ema_batch_stats=update_ema(state.ema_batch_stats, new.batch_stats, decay),
        )
    norms = {
        "gradient_norm": global_norm(gradients),
        "parameter_norm": global_norm(after),
        "update_norm": global_norm(updates),
    }
    # The parameters may overflow where the gradient did not.
    finite = jnp.isfinite(sums["loss"] + sum(norms.values()) + global_norm(new.batch_stats))
    new = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, state)
    metrics = {**sums, **norms, "nonfinite": 1.0 - finite, "steps": jnp.ones(())}
    return new.replace(step=state.step + 1), metrics


def eval_step(
    variables: dict[str, Any],
    batch: Batch,
    *,
    model: nn.Module,
    config: ConfigDict,
    gather: Gather = lambda tree: tree,
) -> Metrics:
    """Sums over one global batch, with running statistics and without label smoothing."""
    logits = model.apply(gather(variables), normalize(batch["image"], config), train=False)
    return example_sums(jnp.asarray(logits), batch["label"], batch["mask"])


def normalize(image: jax.Array, config: ConfigDict) -> jax.Array:
    """(x / 255 − mean) / std, float32, of uint8 images."""
    mean, std = jnp.asarray(config.data.mean), jnp.asarray(config.data.std)
    return (image.astype(jnp.float32) / 255 - mean) / std


def global_norm(tree: Any) -> jax.Array:
    """Euclidean norm of all leaves together; not finite where any of them is not, or is over 1.8e19.

    Bounds are float32's. Vectors are taken together, because for XLA:CPU each is a kernel of its own; and products are
    dots, because it would compute a sum of so many scalars again inside every kernel that depends on it.
    """
    leaves = jax.tree.leaves(tree)
    vectors = [leaf for leaf in leaves if leaf.ndim == 1]
    arrays = [leaf for leaf in leaves if leaf.ndim != 1] + ([jnp.concatenate(vectors)] if vectors else [])
    dot = functools.partial(jnp.tensordot, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.stack([dot(array, array, array.ndim) for array in arrays])
    return jnp.sqrt(dot(squares, jnp.ones_like(squares), 1))


def _accumulate(
    state: TrainState, batch: Batch, rng: jax.Array, model: nn.Module, config: ConfigDict
) -> tuple[Any, Any, Metrics]:
    """Gradients of the mean loss, the batch statistics after the last micro-batch, and metric sums."""
    # Divided by here, because a division of the gradients would be one more pass over each of them.
    total = jnp.maximum(jnp.sum(batch["mask"]), 1.0)

    def loss(params: Any, batch_stats: Any, micro: Batch, key: jax.Array) -> tuple[jax.Array, tuple[Any, Metrics]]:
        logits, updated = model.apply(
            {"params": {**state.params, **params}, "batch_stats": batch_stats},
            mixing.mixed_images(micro, functools.partial(normalize, config=config)),
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": named_key(key, "dropout")},
        )
        smoothing, mixture = config.train.label_smoothing, mixing.mixed_labels(micro)
        sums = example_sums(jnp.asarray(logits), micro["label"], micro["mask"], smoothing, **mixture)
        return sums["loss"] / total, (updated["batch_stats"], sums)

    params = trained(state.params, config.train.frozen)
    gradient = jax.grad(loss, has_aux=True)
    steps = config.train.accumulation_steps
    if steps == 1:
        gradients, (batch_stats, sums) = gradient(params, state.batch_stats, batch, rng)
        return gradients, batch_stats, sums

    def accumulate(carry: tuple[Any, Any], indexed: tuple[jax.Array, Batch]) -> tuple[tuple[Any, Any], Metrics]:
        gradients, batch_stats = carry
        index, micro = indexed
        more, (batch_stats, sums) = gradient(params, batch_stats, micro, jax.random.fold_in(rng, index))
        return (jax.tree.map(jnp.add, gradients, more), batch_stats), sums

    # Every steps-th row: each device then keeps its own rows, and the cut does not depend on how many there are.
    micros = jax.tree.map(lambda x: x.reshape(-1, steps, *x.shape[1:]).swapaxes(0, 1), batch)
    zeros = jax.tree.map(jnp.zeros_like, params)
    (gradients, batch_stats), sums = jax.lax.scan(accumulate, (zeros, state.batch_stats), (jnp.arange(steps), micros))
    return gradients, batch_stats, jax.tree.map(jnp.sum, sums)
