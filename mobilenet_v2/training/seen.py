"""The first pictures that a run's train steps see, after all that is done to them, as pixels again.

What the host or the devices make of the records is the very stream that a step takes; what the step itself does to it,
erasing and mixing, is done here with the step's own key.
"""

import contextlib
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mobilenet_v2.config_singles import singles
from mobilenet_v2.data.pipeline import training_batches
from mobilenet_v2.data.resident import check_residence
from mobilenet_v2.data.unreadable import Unreadable
from mobilenet_v2.data.workers import read
from mobilenet_v2.training import mixing
from mobilenet_v2.training.random_keys import training_key
from mobilenet_v2.training.steps import normalize
from mobilenet_v2.training.stream import resident_stream

Rows = dict[str, np.ndarray]


def first_seen(source: Any, config: ConfigDict, count: int) -> Rows:
    """The first `count` rows that training sees, on one device whatever the number of those that train.

    Args:
      source: random access to the records of the training split.
      config: the whole, valid config. Of several replicas the first is shown.

    Returns:
      image uint8 [N, H, W, C], label int32 [N], mask float32 [N]; and where the config mixes images partner_label
      int32 [N] and own_share float32 [N], the share of the row's own pixels. Erased pixels have the mean colour.

    Raises:
      ConfigError: if the split does not fit on a device, where the config wants it there.
      DataError: if none of its images can be decoded there, or a data worker ended.
    """
    config = singles(config)[0]
    size, batches = config.train.batch_size, _batches(source, config)
    with contextlib.closing(batches):
        taken = [as_seen(next(batches), step, config, count - step * size) for step in range(-(-count // size))]
    return {name: np.concatenate([rows[name] for rows in taken]) for name in taken[0]}


def as_seen(batch: dict[str, Any], step: int, config: ConfigDict, count: int) -> Rows:
    """The first `count` rows of a global batch, as the train step that is taken after `step` others sees them.

    The rows are named as `first_seen` says.
    """
    rng = jax.random.fold_in(training_key(config.seed), step)  # as `steps.train_step` makes it
    mixture = mixing.with_mixture(batch, rng, config.augment)
    rows = {name: np.asarray(batch[name])[:count] for name in ("image", "label", "mask")}
    if mixture is batch:
        return rows
    shown = jax.tree.map(lambda array: array[:count], mixture)
    labels = {name.removesuffix("_B"): np.asarray(value) for name, value in mixing.mixed_labels(shown).items()}
    return {**rows, **labels, "image": np.asarray(jax.jit(functools.partial(_shown, config=config))(shown))}


def _shown(mixture: dict[str, Any], config: ConfigDict) -> jax.Array:
    return pixels(mixing.mixed_images(mixture, functools.partial(normalize, config=config)), config)


def pixels(images_BxHxWxC: jax.Array, config: ConfigDict) -> jax.Array:
    """The uint8 images of which `steps.normalize` makes these, to rounding."""
    mean, std = jnp.asarray(config.data.mean), jnp.asarray(config.data.std)
    return jnp.clip(jnp.round((images_BxHxWxC * std + mean) * 255), 0, 255).astype(jnp.uint8)


def _batches(source: Any, config: ConfigDict) -> Any:
    """What the loop's steps take, from the first on; to be closed."""
    if config.data.residence == "host":
        return read(training_batches(source, config))
    check_residence(source, config)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return resident_stream(source, config, device, device, Unreadable(config.data.train_split))
