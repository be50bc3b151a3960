"""Batch norm folded into the convolutions before it: the network for inference."""

from typing import TypeVar

from mobilenet_v2.models.network import Network
from mobilenet_v2.models.normalization import Params, fold_layer

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def fold_batch_norm(model: AnyNetwork, variables: Params) -> tuple[AnyNetwork, Params]:
    """The network without batch norm whose logits are those of `model` in evaluation.

    Every layer's {"conv": {"kernel"}, "bn": …} becomes {"conv": {"kernel", "bias"}}: N(x ∗ K) is x ∗ (gain · K) +
    (bias − gain · mean), gain = scale / √(variance + ε). Equal to 1e-5 of the logits' size in float32.

    Args:
      model: with batch norm.
      variables: its {"params", "batch_stats"}; those of moving averages do as well.

    Returns:
      The network, and its variables {"params"}; there are no `batch_stats`.

    Raises:
      ValueError: if `model` has no batch norm, as when it was folded before.
    """
    if not model.batch_norm:
        raise ValueError("model has batch_norm=False: its batch norm is folded already")
    params = _fold(variables["params"], variables["batch_stats"], model.batch_norm_epsilon)
    return model.clone(batch_norm=False), {"params": params}


def _fold(params: Params, stats: Params, epsilon: float) -> Params:
    """Folds every layer below `params`; what has no batch norm, as the classifier, stays."""
    if "bn" in params:
        return fold_layer(params, stats, epsilon)
    return {name: _fold(inner, stats[name], epsilon) if name in stats else inner for name, inner in params.items()}
