"""What training carries from step to step, and how it is born: whole, in one jitted function, on its devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from flax.traverse_util import path_aware_map

from mobilenet_v2.training.frozen import trained
from mobilenet_v2.weights.arrays import Arrays

# From what tells a state's shapes, which takes a trace, to the sharding of each array, or one of all.
Place = Callable[[Callable[[], Any]], Any]


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and writes; nothing else changes.

    Of several replicas all arrays but `step` have a leading axis, see `replicas`.

    Attributes:
      step: int32, the number of steps taken.
      params, batch_stats: the model's two collections, float32.
      opt_state: the optimizer's, of the parameters that train.
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
    place: Place,
    channels: int = 3,
    frozen: str = "nothing",
    replicas: int = 1,
    arrays: Arrays | None = None,
) -> TrainState:
    """Initialises the state where it will live. Bit-identical for any number of devices.

    Args:
      place: where each array will be.
      replicas: if more than one, states of seeds seed, seed + 1, … side by side.
      arrays: variables that are these instead of initialised ones, averages included: "params/stem/conv/kernel", ….
    """
    init = _init_function(model, optimizer, seed, replicas, (1, image_size, image_size, channels), ema, frozen)
    return jax.jit(init, out_shardings=place(lambda: jax.eval_shape(init, {})))(arrays or {})


def abstract_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    image_size: int,
    ema: bool,
    place: Place,
    channels: int = 3,
    frozen: str = "nothing",
    replicas: int = 1,
) -> TrainState:
    """The state's shapes, dtypes and places, computed without making it: what a checkpoint is restored into."""
    init = _init_function(model, optimizer, seed, replicas, (1, image_size, image_size, channels), ema, frozen)
    shapes = jax.eval_shape(init, {})
    shardings = jax.tree.broadcast(place(lambda: shapes), shapes)
    return jax.tree.map(_with_sharding, shapes, shardings)


def _with_sharding(shape: jax.ShapeDtypeStruct, sharding: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)


def _init_function(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    seed: int,
    replicas: int,
    shape: tuple[int, ...],
    ema: bool,
    frozen: str,
) -> Any:
    def init(key: jax.Array, arrays: dict[str, jax.Array]) -> TrainState:
        drawn = model.init({"params": key}, jnp.zeros(shape), train=False)
        variables: Any = path_aware_map(lambda path, leaf: arrays.get("/".join(map(str, path)), leaf), drawn)
        params, batch_stats = variables["params"], variables["batch_stats"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=optimizer.init(trained(params, frozen)),
            ema_params=params if ema else None,
            ema_batch_stats=batch_stats if ema else None,
        )

    def init_all(arrays: dict[str, jax.Array]) -> TrainState:
        if replicas == 1:
            return init(jax.random.key(seed), arrays)
        keys = jnp.stack([jax.random.key(seed + replica) for replica in range(replicas)])
        states = jax.vmap(init, (0, None))(keys, arrays)
        return states.replace(step=jnp.zeros((), jnp.int32))

    return init_all
