"""What a run computes on, in a line; and an accelerator that JAX leaves idle, which is easily overlooked."""

import collections
import os
import pathlib
from collections.abc import Mapping

import jax
from jax.sharding import Mesh

# What Linux's drivers show, what it is, and what JAX needs to use it.
_ACCELERATORS = (
    ("dev/nvidia0", "an NVIDIA GPU", "'jax[cuda13]', or 'jax[cuda12]' where the driver is older than 580"),
    ("dev/kfd", "an AMD GPU", "'jax[rocm7-local]'"),
    ("dev/accel0", "a TPU", "'jax[tpu]'"),
)


def describe(mesh: Mesh) -> str:
    """`devices: 8 × NVIDIA H100, 2 processes, mesh data=8`."""
    kinds = collections.Counter(str(device.device_kind) for device in mesh.devices.flat)
    devices = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    processes = len({device.process_index for device in mesh.devices.flat})
    axes = " ".join(f"{name}={size}" for name, size in mesh.shape.items())
    return f"devices: {devices}, {processes} process{'es' * (processes > 1)}, mesh {axes}"


def left_idle(root: pathlib.Path = pathlib.Path("/"), environment: Mapping[str, str] = os.environ) -> str | None:
    """A line on the accelerator of this machine that JAX does not use; None where it uses one, or was told not to."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    meant = jax.config.jax_platforms == "cpu"  # pyrefly: ignore (an option of JAX)
    if jax.default_backend() != "cpu" or meant or hidden:
        return None
    for path, what, package in _ACCELERATORS:
        if (root / path).exists():
            return (
                f"warning: JAX computes on the CPU, though {root / path} shows that there is {what}: pip install "
                f"{package}; JAX_PLATFORMS=cpu says that the CPU is meant"
            )
    return None
