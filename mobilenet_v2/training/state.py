"""What training carries from step to step, and how it is born: whole, in one jitted function, on its devices."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and writes; nothing else changes.

    Attributes:
      step: int32, the number of steps taken.
      params, batch_stats: the model's two collections, float32.
      opt_state: the optimizer's.
      ema_params, ema_batch_stats: moving averages of both; None where `ema_decay` is 0.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema_params: Any
    ema_batch_stats: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def ema_variables(self) -> dict[str, Any] | None:
        """The averaged ones, or None."""
        if self.ema_params is None:
            return None
        return {"params": self.ema_params, "batch_stats": self.ema_batch_stats}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    image_size: int,
    ema: bool,
    sharding: jax.sharding.Sharding,
    channels: int = 3,
) -> TrainState:
    """Initialises the state where it will live. Bit-identical for any number of devices."""
    init = _init_function(model, optimizer, seed, (1, image_size, image_size, channels), ema)
    return jax.jit(init, out_shardings=sharding)()


def abstract_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    image_size: int,
    ema: bool,
    sharding: jax.sharding.Sharding,
    channels: int = 3,
) -> TrainState:
    """The state's shapes, dtypes and places, computed without making it: what a checkpoint is restored into."""
    shapes = jax.eval_shape(_init_function(model, optimizer, seed, (1, image_size, image_size, channels), ema))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)


def _init_function(
    model: nn.Module, optimizer: optax.GradientTransformation, seed: int, shape: tuple[int, ...], ema: bool
) -> Any:
    def init() -> TrainState:
        variables = model.init({"params": jax.random.key(seed)}, jnp.zeros(shape), train=False)
        params, batch_stats = variables["params"], variables["batch_stats"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=optimizer.init(params),
            ema_params=params if ema else None,
            ema_batch_stats=batch_stats if ema else None,
        )

    return init
