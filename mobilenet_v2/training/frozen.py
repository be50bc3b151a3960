"""Which variables train, and which stay as they are, bit for bit."""

from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.models.network import Frozen

_CLASSIFIER = "classifier"


def trained(params: dict[str, Any], frozen: str) -> dict[str, Any]:
    """The part of `params` that has gradients, updates, optimizer slots and weight decay.

    Args:
      frozen: `config.train.frozen`: "nothing": all of them train; "backbone": those of the classifier.
    """
    return params if frozen == "nothing" else {_CLASSIFIER: params[_CLASSIFIER]}


def in_backbone(params: dict[str, Any]) -> dict[str, bool]:
    """For each of the network's modules, whether it belongs to the backbone: all but the classifier."""
    return {name: name != _CLASSIFIER for name in params}


def frozen_in_network(train: ConfigDict) -> Frozen:
    """What the network's own `frozen` is in training.

    A frozen backbone keeps its running statistics as well, as under Keras's `trainable = False`: the classifier is
    fitted to the very features that evaluation sees, and the backbone stays the file's. PyTorch's
    `requires_grad_(False)` lets statistics move, away from those that the frozen kernels were trained with.

    Args:
      train: `config.train`.
    """
    if train.frozen == "backbone":
        return "backbone"
    return "batch_norm" if train.frozen_batch_norm else "nothing"
