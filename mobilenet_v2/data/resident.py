"""A training split that lies on every device whole, where it is small enough: decoded once, augmented in a jitted call.

The host then sends a few bytes a row: which example, and its place in the stream. Order and epochs are those of
`pipeline.training_batches`, and augmentation draws from the same distributions, but other numbers: a run's pictures
are not those of a run that augments on the host.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.config_singles import singles
from mobilenet_v2.data.prefetch import DeviceBatch, to_devices
from mobilenet_v2.data.transforms import Preprocess, beyond_borders
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.errors import ConfigError, DataError

_DRAWS = 5  # an example: turn, zoom, right, down, mirror


def check_residence(source: Any, config: ConfigDict) -> None:
    """Checks that the training split may lie on the devices, where the config wants it there.

    Raises:
      ConfigError: if it takes more than `data.device_bytes`, with the bytes that it takes.
    """
    data = config.data
    needed = len(source) * (data.image_size**2 * data.channels + 8)
    if data.residence == "device" and needed > data.device_bytes:
        raise ConfigError(
            f"config.data.residence is 'device', for which each device must hold {needed} bytes ({len(source)} images "
            f"of {data.image_size} × {data.image_size} × {data.channels}); config.data.device_bytes allows "
            f"{data.device_bytes}"
        )


def hold(source: Any, config: ConfigDict, sharding: jax.sharding.Sharding, unreadable: Unreadable) -> DeviceBatch:
    """Every example of `source` as evaluation sees it, all of them on every device: a batch of N = len(source) rows.

    Args:
      sharding: that of arrays which are the same on every device.
      unreadable: names the images that can't be decoded.

    Raises:
      DataError: if none of them can.
    """
    preprocess, size = Preprocess.of(config.data), config.data.image_size
    examples = {
        "image": np.empty((len(source), size, size, config.data.channels), np.uint8),
        "label": np.empty(len(source), np.int32),
        "mask": np.empty(len(source), np.float32),
    }
    for index in range(len(source)):
        for name, value in preprocess.map(source[index]).items():
            examples[name][index] = value
        if not examples["mask"][index]:
            unreadable.tell(index, source)
    if not examples["mask"].any():
        raise DataError(f"none of the {len(source)} training images can be decoded")
    return to_devices(examples, sharding)


def gathering(
    examples: DeviceBatch, config: ConfigDict, rows: jax.sharding.Sharding
) -> Callable[[DeviceBatch], DeviceBatch]:
    """A jitted function from `pipeline.training_places`, on their devices, to the batch that a step takes.

    Args:
      examples: from `hold`.
      rows: how batches are split.
    """
    everywhere = jax.tree.map(lambda array: array.sharding, examples)
    gather = functools.partial(gather_and_augment, config=config)
    if config.replicas > 1 and config.replica_data == "own":
        gather = functools.partial(_gather_for_replicas, config=config)
    return functools.partial(jax.jit(gather, in_shardings=(everywhere, rows), out_shardings=rows), examples)


def _gather_for_replicas(examples: DeviceBatch, places: DeviceBatch, config: ConfigDict) -> DeviceBatch:
    """`gather_and_augment` of each replica's places, [replicas, B]."""
    keys = jnp.stack([_key(single.seed) for single in singles(config)])
    gather = functools.partial(gather_and_augment, config=config)
    return jax.vmap(lambda places, key: gather(examples, places, key=key))(places, keys)


def _key(seed: int) -> jax.Array:
    # The steps' keys are folded with 1, see `training.random_keys`.
    return jax.random.fold_in(jax.random.key(seed), 2)


def gather_and_augment(
    examples: DeviceBatch, places: DeviceBatch, config: ConfigDict, key: jax.Array | None = None
) -> DeviceBatch:
    """Rows `places["index"]` of `examples`, each augmented by a key of (seed, `places["position"]`) alone.

    Args:
      key: that of another seed than the config's.
    """
    batch = {name: array[places["index"]] for name, array in examples.items()}
    augment = config.augment
    if augment.rotation or augment.zoom or augment.shift or augment.flip:
        key = _key(config.seed) if key is None else key
        keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, places["position"])
        draws_Bx5 = jax.vmap(lambda key: jax.random.uniform(key, (_DRAWS,), minval=-1.0, maxval=1.0))(keys_B)
        batch["image"] = augmented(
            batch["image"], draws_Bx5, augment, beyond_borders(config.data.background, config.data.channels)
        )
    return batch


def augmented(
    images_BxSxSxC: jax.Array, draws_Bx5: jax.Array, augment: ConfigDict, background: Sequence[int]
) -> jax.Array:
    """What `transforms.Augment` makes of uint8 images and these draws from U(−1, 1), to rounding.

    OpenCV rounds coordinates to 1/32 pixel, and this does not.
    """
    if augment.rotation or augment.zoom or augment.shift:
        origins = _origins(draws_Bx5, images_BxSxSxC.shape[1], augment)
        images_BxSxSxC = _bilinear(images_BxSxSxC, origins, background)
    if augment.flip:
        mirrored_B = draws_Bx5[:, 4] < 0
        images_BxSxSxC = jnp.where(mirrored_B[:, None, None, None], images_BxSxSxC[:, :, ::-1], images_BxSxSxC)
    return images_BxSxSxC


def _origins(draws_Bx5: jax.Array, size: int, augment: ConfigDict) -> jax.Array:
    """[B, S, S, 2]: (y, x) of the point that lands on each pixel when images are turned, enlarged and then moved."""
    turn_B, zoom_B, right_B, down_B, _ = draws_Bx5.T
    angle_B, scale_B = jnp.deg2rad(turn_B * augment.rotation), 1 + zoom_B * augment.zoom
    centre, reach = (size - 1) / 2, size * augment.shift
    y_BxSx1 = jnp.arange(size)[:, None] - centre - (reach * down_B)[:, None, None]
    x_Bx1xS = jnp.arange(size) - centre - (reach * right_B)[:, None, None]
    cosine, sine = (part_B[:, None, None] for part_B in (jnp.cos(angle_B) / scale_B, jnp.sin(angle_B) / scale_B))
    return centre + jnp.stack([sine * x_Bx1xS + cosine * y_BxSx1, cosine * x_Bx1xS - sine * y_BxSx1], axis=-1)


def _bilinear(images_BxSxSxC: jax.Array, origins_BxSxSx2: jax.Array, background: Sequence[int]) -> jax.Array:
    """uint8 images sampled at points (y, x), with the background, a number a channel, beyond the borders."""
    batch, size, _, channels = images_BxSxSxC.shape
    # Points beyond the frame see as much of it as those on it.
    points = jnp.clip(origins_BxSxSx2, -1, size) + 1
    corner = jnp.minimum(jnp.floor(points), size).astype(jnp.int32)
    down, right = jnp.moveaxis(points - corner, -1, 0)[..., None]
    frame = jnp.broadcast_to(jnp.asarray(background, jnp.uint8), (batch, size + 2, size + 2, channels))
    framed = frame.at[:, 1:-1, 1:-1].set(images_BxSxSxC).reshape(batch, -1, channels)

    def at(y: int, x: int) -> jax.Array:
        places = (corner[..., 0] + y) * (size + 2) + corner[..., 1] + x
        return jnp.take_along_axis(framed, places.reshape(batch, -1, 1), axis=1).reshape(images_BxSxSxC.shape)

    above = (1 - right) * at(0, 0) + right * at(0, 1)
    below = (1 - right) * at(1, 0) + right * at(1, 1)
    return jnp.round((1 - down) * above + down * below).astype(jnp.uint8)
