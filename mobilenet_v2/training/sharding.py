"""The mesh, and where arrays lie on it: batches split over `data`; the state on every device, or split as well."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mobilenet_v2.models.over_devices import BATCH_AXIS


def make_mesh() -> Mesh:
    """All devices of all processes along one axis, `data`, those of a process side by side: as it reads its rows.

    Auto axes: the compiler places every intermediate, so the model needs no annotation, and batch statistics are
    those of the global batch.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    """The first axis in contiguous pieces, one a device."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


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
