"""Several trainings of one config in one program: `config.replicas`, with seeds seed, seed + 1, ….

Every array of theirs has a leading axis, a place a replica, that the mesh's axis `replica` splits; the step count alone
is common. Steps are written for one replica. Where a device has one, it computes just that; of several it computes all
at once, by `vmap`. Devices of different replicas exchange nothing, which the program's form makes sure of: the axis is
split by hand (`shard_map`), where the compiler, left to split it, has loops such as those that draw from a beta
distribution go on until all replicas are done.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from mobilenet_v2.models.over_devices import BATCH_AXIS
from mobilenet_v2.training import metrics, sharding
from mobilenet_v2.training.random_keys import training_key
from mobilenet_v2.training.sharding import REPLICA_AXIS
from mobilenet_v2.training.state import TrainState


def on_mesh(mesh: Mesh) -> bool:
    """Whether arrays on this mesh have an axis of replicas."""
    return REPLICA_AXIS in mesh.axis_names


def seeds(config: ConfigDict) -> list[int]:
    """Of each replica."""
    return list(range(config.seed, config.seed + config.replicas))


def of_state(own: Any, common: Any) -> TrainState:
    """A prefix of a state's tree: `common` for what all replicas share, `own` for what each has."""
    return TrainState(step=common, params=own, batch_stats=own, opt_state=own, ema_params=own, ema_batch_stats=own)


def each(mesh: Mesh, replicas: int, step: Callable[..., Any], inputs: Any, outputs: Any) -> Callable[..., Any]:
    """`step` of every replica on this mesh.

    Args:
      replicas: how many.
      step: of one replica; its arguments are trees of arrays.
      inputs, outputs: a tree's prefix for each argument and result: True where arrays have the axis of replicas, False
        where all share them.
    """

    def of_device(*arguments: Any) -> Any:
        if replicas == mesh.shape[REPLICA_AXIS]:
            results = step(*_mapped(lambda array: array[0], arguments, inputs))
            return _mapped(lambda array: array[None], results, outputs)
        axes, new_axes = (jax.tree.map(lambda own: 0 if own else None, prefix) for prefix in (inputs, outputs))
        return jax.vmap(step, axes, new_axes)(*arguments)

    def places(prefix: Any) -> Any:
        return jax.tree.map(lambda own: PartitionSpec(REPLICA_AXIS) if own else PartitionSpec(), prefix)

    # The compiler goes on to split `data`, as it does for one replica, where there is anything to split.
    by_hand = {REPLICA_AXIS} if mesh.shape[BATCH_AXIS] > 1 else {REPLICA_AXIS, BATCH_AXIS}
    return jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=places(inputs),
        out_specs=places(outputs),
        axis_names=by_hand,
        check_vma=False,
    )


def _mapped(function: Callable[[jax.Array], jax.Array], tree: Any, prefix: Any) -> Any:
    """`tree` with `function` of the arrays that have the axis of replicas."""
    return jax.tree.map(lambda own, part: jax.tree.map(function, part) if own else part, prefix, tree)


def batch_sharding(config: ConfigDict, mesh: Mesh) -> NamedSharding:
    """How a training batch lies: [B, …] by rows; [replicas, B, …] where each replica has one of its own."""
    own = on_mesh(mesh) and config.replica_data == "own"
    return sharding.split_replicas_and_rows(mesh) if own else sharding.split_rows(mesh)


def training_keys(config: ConfigDict, mesh: Mesh) -> jax.Array:
    """What the train step takes as its key: `training_key` of the seed, or of each replica's."""
    if not on_mesh(mesh):
        return training_key(config.seed, sharding.replicated(mesh))
    keys = jnp.stack([training_key(seed) for seed in seeds(config)])
    return jax.device_put(keys, sharding.split_replicas(mesh))


def result(config: ConfigDict, scores: Mapping[str, metrics.Sums], diverged: Sequence[int | None]) -> dict[str, Any]:
    """What `result.json` holds of scores by split: they themselves, or means over replicas and a list of each one's.

    Args:
      diverged: of each replica the step that was not finite, if there was one. It has no scores.
    """
    if config.replicas == 1:
        return dict(scores)
    alone: list[dict[str, Any]] = [
        {
            "seed": seed,
            **{
                use: {name: float(np.asarray(numbers)[index]) for name, numbers in one.items()}
                for use, one in scores.items()
            },
        }
        if diverged[index] is None
        else {"seed": seed, "diverged": diverged[index]}
        for index, seed in enumerate(seeds(config))
    ]
    left = np.array([step is None for step in diverged])
    means = {use: metrics.averages({n: np.asarray(v)[left] for n, v in one.items()}) for use, one in scores.items()}
    return {**means, "replicas": alone}
