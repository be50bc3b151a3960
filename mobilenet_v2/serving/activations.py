"""What a network makes of one picture on the way to its classes: each block's output as maps that can be drawn."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mobilenet_v2.serving.prediction import normalise, preprocessing_of

# Where a block's output is called otherwise than the module whose cost is counted.
_ENDPOINTS = {"head": "features"}


class BlockMaps(NamedTuple):
    """A block's output, of one picture.

    Attributes:
      mean: float32 [H, W], the mean over the channels of its magnitude.
      channels: indices of those whose mean magnitude is largest, largest first.
      strongest: float32 [len(channels), H, W], those channels.
    """

    mean: np.ndarray
    channels: tuple[int, ...]
    strongest: np.ndarray


def endpoint_of(model: Any, block: str) -> str | None:
    """The endpoint that is the output of a block of `cost.count`; None where that is no map, as the classifier's."""
    name = _ENDPOINTS.get(block, block)
    return name if name in model.endpoint_names() else None


def probabilities_and_maps(
    model: Any, variables: Any, pixels: np.ndarray, blocks: tuple[str, ...], channels: int = 6
) -> tuple[np.ndarray, dict[str, BlockMaps]]:
    """(float32 [num_classes], maps by block) of one picture; compiled once for its size.

    Args:
      model, variables: as `load_pretrained` returns them, with a classifier.
      pixels: uint8 [H, W, C], as `prediction.prepare` makes them.
      blocks: names of `cost.count` whose `endpoint_of` is not None.
      channels: how many of the strongest; of a block that has fewer, all.
    """
    preprocessing = preprocessing_of(model)
    run = _compiled(model, blocks, channels, preprocessing.mean, preprocessing.std)
    probabilities, maps = jax.device_get(run(variables, pixels[None]))
    named = {name: maps[name] for name in blocks}
    return probabilities, {
        name: BlockMaps(mean, tuple(int(k) for k in indices), strongest)
        for name, (mean, indices, strongest) in named.items()
    }


@functools.cache
def _compiled(
    model: Any, blocks: tuple[str, ...], channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Any:
    endpoints = {block: _ENDPOINTS.get(block, block) for block in blocks}

    @jax.jit
    def run(variables: Any, image_1xHxWxC: jax.Array) -> Any:
        names = [*dict.fromkeys(endpoints.values()), "logits"]
        found = model.endpoints(variables, normalise(image_1xHxWxC, mean, std), names)
        return jax.nn.softmax(found["logits"][0]), {
            block: _maps(found[endpoint][0].astype(jnp.float32), channels) for block, endpoint in endpoints.items()
        }

    return run


def _maps(x_HxWxC: jax.Array, channels: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    magnitude = jnp.abs(x_HxWxC)
    _, strongest = jax.lax.top_k(magnitude.mean(axis=(0, 1)), min(channels, x_HxWxC.shape[-1]))
    return magnitude.mean(axis=-1), strongest, jnp.moveaxis(x_HxWxC[..., strongest], -1, 0)
