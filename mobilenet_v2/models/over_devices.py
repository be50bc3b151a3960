"""Functions of a batch whose rows are split over the devices of a mesh, with the sums over devices written out."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

# The mesh axis that batches are split over.
BATCH_AXIS = "data"


def on_each_device(axis: str | None, function: Callable[..., Any], inputs: Any, outputs: Any) -> Callable[..., Any]:
    """`function` of each device's own rows, over the mesh that is being traced within.

    Args:
      axis: of the mesh, that splits the rows; None where one device has them all, and `function` stays as it is.
      function: calls `total` for every sum that belongs to the whole batch.
      inputs, outputs: a `PartitionSpec` for each argument and result, or a tree of them.
    """
    if axis is None:
        return function
    # With the sums written out there is nothing left for JAX to check or to add.
    # Of this axis alone: others may be split already, see `training.replicas`.
    return jax.shard_map(function, in_specs=inputs, out_specs=outputs, axis_names={axis}, check_vma=False)


def total(sums: Any, axis: str | None) -> Any:
    """Σ over the devices that `axis` splits the batch over; as it is where one has the batch whole."""
    return sums if axis is None else lax.psum(sums, axis)


def positions(x_BxHxWxC: jax.Array, axis: str | None) -> int:
    """B · H · W, B being the rows of all devices together."""
    return x_BxHxWxC.size // x_BxHxWxC.shape[-1] * (1 if axis is None else lax.axis_size(axis))
