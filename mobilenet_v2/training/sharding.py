"""The mesh, and where arrays lie on it: batches split over `data`, everything else on every device."""

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
