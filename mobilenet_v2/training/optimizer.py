"""Learning-rate schedules, optimizers as their sources wrote them, weight-decay masks, moving averages."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import path_aware_map
from ml_collections import ConfigDict

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training.frozen import in_backbone

_INT32_MAX = 2**31 - 1  # JAX counts in int32


def make_schedule(config: ConfigDict, total_steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Learning rate of each step, counted from 0.

    The peak is learning_rate · batch_size / reference_batch (Goyal et al. 2017, §2.1), whatever the devices, or
    learning_rate where reference_batch is None.

    Warm-up is linear, from 0 at step 0 to the peak at step W = round(warmup_epochs · steps_per_epoch). Then
    "constant" stays; "cosine" falls as (1 + cos(π (step − W) / (T − W))) / 2, to 0 at the end T of the run;
    "exponential" is decay_rate ** ⌊step / S⌋ with S = ⌊epochs_per_decay · steps_per_epoch⌋, counted from step 0
    as TF-slim does.

    Raises:
      ConfigError: if the warm-up would not end before the run, or a stair would be shorter than a step.
    """
    optimizer = config.optimizer
    if total_steps > _INT32_MAX:
        raise ConfigError(
            f"config.train.num_epochs is {config.train.num_epochs}, which is {total_steps} steps, must be at most "
            f"{_INT32_MAX}"
        )
    peak = optimizer.learning_rate
    if optimizer.reference_batch is not None:
        peak *= config.train.batch_size / optimizer.reference_batch
    warmup_steps = round(optimizer.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        raise ConfigError(
            f"config.optimizer.warmup_epochs is {optimizer.warmup_epochs}, which is {warmup_steps} steps, must be "
            f"less than the run's {total_steps}"
        )
    if optimizer.schedule == "cosine":
        decayed = optax.cosine_decay_schedule(peak, total_steps - warmup_steps)
    elif optimizer.schedule == "exponential":
        stair = min(int(optimizer.epochs_per_decay * steps_per_epoch), _INT32_MAX)
        if stair < 1:
            raise ConfigError(
                f"config.optimizer.epochs_per_decay is {optimizer.epochs_per_decay}, must come to at least one step; "
                f"an epoch has {steps_per_epoch:g}"
            )
        staircase = optax.exponential_decay(peak, stair, optimizer.decay_rate, staircase=True)

        def decayed(count: Any) -> Any:
            return staircase(count + warmup_steps)
    else:
        decayed = optax.constant_schedule(peak)
    if warmup_steps == 0:
        return decayed
    warmup = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([warmup, decayed], [warmup_steps])


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """The optimizer that `config.optimizer` names, of what trains.

    The backbone's updates, decay included, are `backbone_rate` times those of `_descent`.
    """
    optimizer, rate = _descent(config, schedule), config.optimizer.backbone_rate
    # All of them are linear in the learning rate.
    return optimizer if rate == 1 else optax.chain(optimizer, optax.masked(optax.scale(rate), in_backbone))


def _descent(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """One learning rate for all.

    "rmsprop" is TensorFlow 1's: the mean square starts at 1 and ε is under the root,
    m ← µ·m + η·g / √(v + ε), p ← p − m. "sgd" has momentum as PyTorch writes it, Nesterov's or not. Both
    add weight_decay · p to the gradient first. "adamw" decays apart from the gradient (Loshchilov & Hutter 2019).
    """
    optimizer = config.optimizer
    mask = decay_mask(optimizer.weight_decay_mask)
    if optimizer.name == "adamw":
        return optax.adamw(
            schedule,
            b1=optimizer.momentum,
            b2=optimizer.decay,
            eps=optimizer.epsilon,
            weight_decay=optimizer.weight_decay,
            mask=mask,
        )
    if optimizer.name == "rmsprop":
        descent = optax.rmsprop(
            schedule,
            decay=optimizer.decay,
            eps=optimizer.epsilon,
            initial_scale=1.0,
            eps_in_sqrt=True,
            momentum=optimizer.momentum,
        )
    else:
        descent = optax.sgd(schedule, momentum=optimizer.momentum, nesterov=optimizer.nesterov)
    return optax.chain(optax.add_decayed_weights(optimizer.weight_decay, mask), descent)


def decay_mask(name: str) -> Any:
    """A function from parameters to booleans: which of them decay.

    "all" as torchvision's first recipe; "kernels" leaves out batch norm and biases; "slim" also the depthwise
    kernels, as TF-slim's arg scope does (36 kernels of the width-1 network remain).
    """

    def decays(path: tuple[Any, ...], leaf: Any) -> bool:
        del leaf
        if name == "all":
            return True
        return path[-1] == "kernel" and (name == "kernels" or "depthwise" not in path)

    return lambda params: path_aware_map(decays, params)


def effective_ema_decay(decay: float, num_updates: jax.Array | int) -> jax.Array:
    """min(decay, (1 + n) / (10 + n)): TensorFlow's warm-up, n updates having gone before this one."""
    n = jnp.asarray(num_updates, jnp.float32)
    return jnp.minimum(decay, (1 + n) / (10 + n))


def update_ema(average: Any, value: Any, decay: jax.Array) -> Any:
    """average − (1 − decay) · (average − value), leaf by leaf."""
    return jax.tree.map(lambda a, v: a - (1 - decay) * (a - v), average, value)
