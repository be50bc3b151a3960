"""StableHLO, as `jax.export` serialises it: `jax.export.deserialize(bytes).call(images)` are the logits.

The file is versioned: it states the versions of StableHLO and of JAX's calling convention, which later releases of JAX
go on reading for half a year at least (docs.jax.dev, "Exporting and serializing"). Any batch size and CPU, GPU and TPU
are in the one file.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from mobilenet_v2.export.inference import Inference, Run

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(path: pathlib.Path, network: Inference, calibration: np.ndarray | None = None) -> None:
    """Writes the network; `calibration` is for others."""
    del calibration
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *network.image_shape), jnp.float32)
    exported = export.export(jax.jit(network.logits), platforms=_PLATFORMS)(images)
    path.write_bytes(exported.serialize())


def write_as_is(path: pathlib.Path, model: Any, variables: Any, image_shape: tuple[int, int, int]) -> None:
    """Writes the network as it evaluates one image on this machine, with the convolutions that suit it."""
    whole = model.clone(dtype=jnp.float32)
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    path.write_bytes(export.export(jax.jit(lambda x: whole.apply(variables, x, train=False)))(image).serialize())


def load(path: pathlib.Path) -> Run:
    """The file's function, compiled for this machine."""
    call = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
    return lambda image_BxHxWxC: np.asarray(call(image_BxHxWxC))
