"""Metrics as sums and counts, which add up exactly over devices, batches and hosts.

Of several replicas each number is an array of one a replica, and a list in a file; NaN, or null, is that of a replica
that diverged.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Number = float | np.ndarray
Sums = dict[str, Number]


def example_sums(
    logits_BxK: jax.Array,
    label_B: jax.Array,
    mask_B: jax.Array,
    label_smoothing: float = 0.0,
    *,
    partner_label_B: jax.Array | None = None,
    own_share_B: jax.Array | float = 1.0,
) -> dict[str, jax.Array]:
    """Σ over the rows with mask 1: `loss` (nats), `correct`, `count`; and `unreadable`, the rows with mask 0.

    Of rows mixed from two images, λ = `own_share_B`, the loss is that of the target λ · own + (1 − λ) · partner's, both
    smoothed; and a prediction is correct by the share of the image it names, as Zhang et al. (2018) count.
    """
    losses_B = cross_entropy(logits_BxK, label_B, label_smoothing)
    correct_B = jnp.argmax(logits_BxK, axis=-1) == label_B
    if partner_label_B is not None:
        partner_losses_B = cross_entropy(logits_BxK, partner_label_B, label_smoothing)
        losses_B = own_share_B * losses_B + (1 - own_share_B) * partner_losses_B
        partner_correct_B = jnp.argmax(logits_BxK, axis=-1) == partner_label_B
        correct_B = own_share_B * correct_B + (1 - own_share_B) * partner_correct_B
    return {
        # `where`, because 0 · NaN would be NaN.
        "loss": jnp.sum(jnp.where(mask_B > 0, losses_B, 0.0)),
        "correct": jnp.sum(correct_B * mask_B),
        "count": jnp.sum(mask_B),
        "unreadable": jnp.sum(1 - mask_B),
    }


def cross_entropy(logits_BxK: jax.Array, label_B: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """−Σ_k q_k log p_k of each row, q being (1 − ε) at the label plus ε / K everywhere (Szegedy et al. 2016)."""
    if label_smoothing == 0.0:
        return optax.softmax_cross_entropy_with_integer_labels(logits_BxK, label_B)
    targets_BxK = optax.smooth_labels(jax.nn.one_hot(label_B, logits_BxK.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits_BxK, targets_BxK)


def add(total: Mapping[str, Any], sums: Mapping[str, Any]) -> Sums:
    """Adds a step's fetched sums to a running total, in float64."""
    return {name: number(total.get(name, 0.0)) + number(value) for name, value in sums.items()}


def means(total: Sums) -> Sums:
    """`loss` and `accuracy` of the examples counted in `total`."""
    count = number(np.maximum(total["count"], 1.0))
    return {"loss": total["loss"] / count, "accuracy": total["correct"] / count}


def number(value: Any) -> Number:
    """A float, or a float64 array of one a replica, of what a step or a file has."""
    array = np.asarray(value, np.float64)
    return array if array.ndim else float(array)


def listed(values: Mapping[str, Number]) -> dict[str, Any]:
    """As a file has them."""
    return {name: _listed(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def averages(values: Mapping[str, Number]) -> dict[str, float]:
    """Means over the replicas that did not diverge; what is one number stays it."""
    return {
        name: float(np.nanmean(value)) if isinstance(value, np.ndarray) else value for name, value in values.items()
    }
