"""The mesh, and where arrays lie on it: batches split over `data`, everything else on every device."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mobilenet_v2.models.over_devices import BATCH_AXIS


def make_mesh() -> Mesh:
    """All devices of all processes along one axis, `data`.

    Auto axes: the compiler places every intermediate, so the model needs no annotation, and batch statistics are
    those of the global batch.
    """
    return jax.make_mesh((jax.device_count(),), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    """The first axis in contiguous pieces, one a device."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
