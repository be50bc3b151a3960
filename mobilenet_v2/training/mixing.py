"""Mixup, CutMix and random erasing inside the train step: pure functions of a key and a batch.

`with_mixture` draws for the whole global batch and adds rows to it, still uint8; `mixed_images` computes pixels from
them, after normalisation, for one micro-batch at a time. So neither the number of devices nor `accumulation_steps`
changes what a row becomes. Images are erased first and then mixed, as in torchvision's and timm's recipes.

A row's partner is the row before it, as in torchvision: of a batch split over devices each gets one row from its
neighbour. Where an example takes several places in a row it is the row before all of them, which in a batch of fewer
than two examples' places may be its own copy: `config_rules.check_training` refuses that. A row of mask 0 is neither
erased nor mixed, and no row is mixed with it.

A box is (top, left, bottom, right) in pixels, the last two exclusive.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mobilenet_v2.training.random_keys import named_key

_ERASING_ATTEMPTS = 10  # torchvision's and timm's


def with_mixture(batch: dict[str, Any], rng: jax.Array, augment: ConfigDict) -> dict[str, Any]:
    """`batch`, with what its rows are erased by and mixed with; itself where `augment` has all of it off.

    Args:
      batch: {"image": uint8 [B, H, W, C], "label": int32 [B], "mask": float32 [B]}.
      rng: the step's key.
      augment: the section of the config.

    Returns:
      The batch, and where images are erased `erased`, int32 [B, 4], boxes; where they are mixed `partner`, the
      image, label and erased box of each row's partner, `blend`, float32 [B], the share of the row's own pixels outside
      `pasted`, int32 [B, 4], the box of the partner's pixels.
    """
    if not (augment.erasing or augment.mixup or augment.cutmix):
        return batch
    readable_B, shape = batch["mask"] > 0, batch["image"].shape[:3]
    if augment.erasing:
        boxes_Bx4 = erasing_boxes(named_key(rng, "erasing"), shape, augment)
        batch = {**batch, "erased": jnp.where(readable_B[:, None], boxes_Bx4, 0)}
    if augment.mixup or augment.cutmix:
        blend, pasted = draw_mixture(rng, shape[1:], augment)
        mixed_B = readable_B & jnp.roll(readable_B, augment.repeats)
        partner = {name: jnp.roll(rows, augment.repeats, axis=0) for name, rows in batch.items() if name != "mask"}
        blend_B = jnp.where(mixed_B, blend, 1.0)
        batch = {**batch, "partner": partner, "blend": blend_B, "pasted": jnp.where(mixed_B[:, None], pasted, 0)}
    return batch


def mixed_images(batch: dict[str, Any], normalize: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Normalised float32 [B, H, W, C] of a batch from `with_mixture`; erased pixels are 0, the mean colour."""
    images_BxHxWxC = _erased(normalize(batch["image"]), batch)
    if "partner" not in batch:
        return images_BxHxWxC
    partners_BxHxWxC = _erased(normalize(batch["partner"]["image"]), batch["partner"])
    pasted_BxHxWx1 = inside(batch["pasted"], *images_BxHxWxC.shape[1:3])
    own_BxHxWx1 = jnp.where(pasted_BxHxWx1, 0.0, batch["blend"][:, None, None, None])
    return own_BxHxWx1 * images_BxHxWxC + (1 - own_BxHxWx1) * partners_BxHxWxC


def mixed_labels(batch: dict[str, Any]) -> dict[str, jax.Array]:
    """What `metrics.example_sums` takes of a mixture: partners' labels and λ, the share of own pixels; or nothing."""
    if "partner" not in batch:
        return {}
    height, width = batch["image"].shape[1:3]
    own_B = batch["blend"] * (1 - area(batch["pasted"]) / (height * width))
    return {"partner_label_B": batch["partner"]["label"], "own_share_B": own_B}


def draw_mixture(rng: jax.Array, size: tuple[int, int], augment: ConfigDict) -> tuple[jax.Array, jax.Array]:
    """(blend, pasted box [4]) of one batch: λ ~ Beta(α, α) and no box, or 1 and a box; or neither.

    Of the batches a share of `mix_probability` is mixed; with both kinds on, half of these each way.
    """
    mixes, tails = jax.random.uniform(named_key(rng, "mixing"), (2,)) < jnp.asarray([augment.mix_probability, 0.5])
    cuts = tails if augment.mixup and augment.cutmix else jnp.asarray(augment.cutmix > 0)
    blend, pasted = jnp.ones(()), jnp.zeros(4, jnp.int32)
    if augment.mixup:
        share = jax.random.beta(named_key(rng, "mixup"), augment.mixup, augment.mixup)
        blend = jnp.where(mixes & ~cuts, share, blend)
    if augment.cutmix:
        share_key, place_key = jax.random.split(named_key(rng, "cutmix"))
        share = jax.random.beta(share_key, augment.cutmix, augment.cutmix)
        box = cutmix_box(place_key, share, size)
        pasted = jnp.where(mixes & cuts, box, pasted)
    return blend, pasted


def cutmix_box(key: jax.Array, share: jax.Array, size: tuple[int, int]) -> jax.Array:
    """int32 [4]: around a uniform centre, with sides √(1 − share) of the image's, clipped (Yun et al. 2019, eq. 2).

    Halves of sides are rounded down, as in torchvision.
    """
    sides = jnp.asarray(size, jnp.int32)
    centre = jax.random.randint(key, (2,), 0, sides)
    halves = (0.5 * jnp.sqrt(1 - share) * sides).astype(jnp.int32)
    return jnp.concatenate([jnp.maximum(centre - halves, 0), jnp.minimum(centre + halves, sides)])


def erasing_boxes(key: jax.Array, shape: tuple[int, int, int], augment: ConfigDict) -> jax.Array:
    """int32 [B, 4]: a box a row with probability `erasing`, else an empty one (Zhong et al. 2020, algorithm 1).

    The box has a share U(`erasing_area`) of the area, and height / width log-uniform in `erasing_aspect`; of ten draws
    the first counts whose box is smaller than the image both ways, as in torchvision. If none is, nothing is erased.

    Args:
      shape: (B, H, W).
    """
    rows, *size = shape
    sides = jnp.asarray(size, jnp.float32)
    form_key, place_key, chance_key = jax.random.split(key, 3)
    low, high = jnp.asarray([augment.erasing_area, [math.log(aspect) for aspect in augment.erasing_aspect]]).T
    form_Bx10x2 = jax.random.uniform(form_key, (rows, _ERASING_ATTEMPTS, 2), minval=low, maxval=high)
    area_Bx10, root_Bx10 = form_Bx10x2[..., 0] * sides.prod(), jnp.exp(form_Bx10x2[..., 1] / 2)
    side_Bx10 = jnp.sqrt(area_Bx10)
    sides_Bx10x2 = jnp.round(jnp.stack([side_Bx10 * root_Bx10, side_Bx10 / root_Bx10], axis=-1))
    fits_Bx10 = jnp.all(sides_Bx10x2 < sides, axis=-1)
    first_B = jnp.argmax(fits_Bx10, axis=1)
    sides_Bx2 = jnp.take_along_axis(sides_Bx10x2, first_B[:, None, None], axis=1)[:, 0]
    corner_Bx2 = jnp.floor(jax.random.uniform(place_key, (rows, 2)) * (sides - sides_Bx2 + 1))
    erases_B = jnp.any(fits_Bx10, axis=1) & (jax.random.uniform(chance_key, (rows,)) < augment.erasing)
    boxes_Bx4 = jnp.concatenate([corner_Bx2, corner_Bx2 + sides_Bx2], axis=1).astype(jnp.int32)
    return jnp.where(erases_B[:, None], boxes_Bx4, 0)


def inside(box_Bx4: jax.Array, height: int, width: int) -> jax.Array:
    """Bool [B, H, W, 1]: the pixels of each row's box."""
    top, left, bottom, right = (edge_B[:, None] for edge_B in box_Bx4.T)
    y_H, x_W = jnp.arange(height), jnp.arange(width)
    in_BxH, in_BxW = (top <= y_H) & (y_H < bottom), (left <= x_W) & (x_W < right)
    return (in_BxH[:, :, None] & in_BxW[:, None])[..., None]


def area(box_Bx4: jax.Array) -> jax.Array:
    """int32 [B], in pixels."""
    return (box_Bx4[..., 2] - box_Bx4[..., 0]) * (box_Bx4[..., 3] - box_Bx4[..., 1])


def _erased(images_BxHxWxC: jax.Array, rows: dict[str, jax.Array]) -> jax.Array:
    if "erased" not in rows:
        return images_BxHxWxC
    return jnp.where(inside(rows["erased"], *images_BxHxWxC.shape[1:3]), 0.0, images_BxHxWxC)
