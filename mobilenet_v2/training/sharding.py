"""The mesh, and where arrays lie on it: batches split over `data`; the state on every device, or split as well.

With several replicas the mesh has an axis for them, too, see `replicas`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mobilenet_v2.models.over_devices import BATCH_AXIS

# The mesh axis that replicas are split over.
REPLICA_AXIS = "replica"


def make_mesh(replicas: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices of all processes along one axis, `data`, those of a process side by side: as it reads its rows.

    With more than one replica there are two axes: `replica`, as long as devices and replicas can both be shared out
    along it, since devices of different replicas exchange nothing; and `data`, of the devices that are left for each.

    Auto axes: the compiler places every intermediate, so the model needs no annotation, and batch statistics are
    those of the global batch.
    """
    ordered = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    if replicas == 1:
        return Mesh(np.array(ordered), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    apart = np.array(ordered).reshape(math.gcd(replicas, len(ordered)), -1)
    return Mesh(apart, (REPLICA_AXIS, BATCH_AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    """The first axis in contiguous pieces, one a device."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def split_replicas(mesh: Mesh) -> NamedSharding:
    """The first axis over the devices that have different replicas; each piece on all those that share these."""
    return NamedSharding(mesh, PartitionSpec(REPLICA_AXIS))


def split_replicas_and_rows(mesh: Mesh) -> NamedSharding:
    """The first axis by replicas and the second, of each replica's rows, in one piece a device."""
    return NamedSharding(mesh, PartitionSpec(REPLICA_AXIS, BATCH_AXIS))


def of_state(mesh: Mesh, shapes: Callable[[], Any], parameters: str) -> Any:
    """Where each array of a state lies: a sharding of all, or a tree of them.

    Args:
      shapes: tells a tree of arrays or of their shapes; asked only where these matter.
      parameters: "replicated": on every device; "fsdp": in pieces along the largest axis that the devices divide, the
        last of these if there are several. What has no such axis is on every device, and so are vectors: they are 1 %
        of MobileNetV2, and its batch norms would exchange each of them several times.
    """
    if parameters == "replicated":
        return replicated(mesh)

    def split(leaf: Any) -> NamedSharding:
        sizes = [size if size % mesh.size == 0 else 0 for size in leaf.shape]
        if len(sizes) < 2 or not any(sizes):
            return replicated(mesh)
        axis = len(sizes) - 1 - sizes[::-1].index(max(sizes))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH_AXIS))

    return jax.tree.map(split, shapes())


def gathered(mesh: Mesh, tree: Any) -> Any:
    """Within jit: `tree` whole, on every device."""
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))
