"""When a block runs fused instead of layer by layer, and on which of its variables."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import relu6

from mobilenet_v2.models import fused_block
from mobilenet_v2.models.batch_norm import unbiased_factor
from mobilenet_v2.models.convolutions import Formulation
from mobilenet_v2.models.depthwise import resolve_padding
from mobilenet_v2.models.normalization import fold_layer
from mobilenet_v2.models.over_devices import BATCH_AXIS


def applies(formulation: Formulation, *, activation: Any, dtype: Any, fast_variance: bool, plain: bool = True) -> bool:
    """Whether `fused_block` may stand in for the network's blocks. All of these must hold:

    - the network is what `fused_block` computes: `plain` blocks, which no ablation has changed, ReLU6, statistics in
      one pass, float32 or float64 (a CPU is slower with bfloat16);
    - the process has a CPU and nothing else; `formulation` "fused" takes that as given, "lax" and "shifted" exclude
      it;
    - how the batch is split is known, since the loop over tiles would gather what it does not know to be split: the
      CPU is one device, or the network is traced within a mesh (`jax.sharding.use_abstract_mesh`), whose axis "data"
      then splits the batch.
    """
    same = plain and activation is relu6 and fast_variance and jnp.dtype(dtype) in (jnp.float32, jnp.float64)
    known = jax.device_count() == 1 or BATCH_AXIS in jax.sharding.get_abstract_mesh().shape
    on_cpu = formulation == "auto" and jax.default_backend() == "cpu" and known
    return same and (formulation == "fused" or on_cpu)


def apply(
    variables: dict[str, Any],
    x_BxHxWxC: jax.Array,
    *,
    stride: int,
    train: bool,
    padding: str | tuple[tuple[int, int], tuple[int, int]],
    epsilon: float,
    momentum: float,
    unbiased: bool = False,
) -> tuple[jax.Array, dict[str, Any]]:
    """The block's output before the shortcut, and its `batch_stats` after this batch: unchanged unless `train`.

    Args:
      variables: of one `InvertedResidual`: {"params", "batch_stats"}, or {"params"} of a folded one.
      unbiased: the running variances move by the unbiased ones, see `batch_norm`.
    """
    params: dict[str, Any] = jax.tree.map(lambda leaf: leaf.astype(x_BxHxWxC.dtype), variables["params"])
    stats: dict[str, Any] = variables.get("batch_stats", {})
    size = params["depthwise"]["conv"]["kernel"].shape[:2]
    pads = resolve_padding(padding, x_BxHxWxC.shape[1:3], size, (stride, stride))
    devices = jax.sharding.get_abstract_mesh().shape.get(BATCH_AXIS, 1)
    # Rows that can't be dealt out evenly are computed together.
    split = devices > 1 and x_BxHxWxC.shape[0] % devices == 0
    settings = fused_block.Settings(stride, pads, epsilon, axis=BATCH_AXIS if split else None)
    if not (train and stats):
        folded = {name: fold_layer(params[name], stats[name], epsilon) for name in stats}
        return fused_block.infer_block(settings, {**params, **folded}, x_BxHxWxC), stats
    y, moments = fused_block.train_block(settings, params, x_BxHxWxC)
    normalized = {name: x_BxHxWxC if name == "expand" else y for name in stats}
    factors = {name: unbiased_factor(a.size // a.shape[-1]) if unbiased else 1.0 for name, a in normalized.items()}
    return y, {name: {"bn": _moved(stats[name]["bn"], moments[name], momentum, factors[name])} for name in stats}


def _moved(
    running: dict[str, jax.Array], moments: fused_block.Moments, momentum: float, factor: float
) -> dict[str, jax.Array]:
    """Running statistics after one batch, as `nn.BatchNorm` moves them, the batch's variance times `factor`."""
    mean, variance = moments
    batch = {"mean": mean, "var": variance * factor if factor != 1 else variance}
    return {name: momentum * old + (1 - momentum) * batch[name].astype(old.dtype) for name, old in running.items()}
