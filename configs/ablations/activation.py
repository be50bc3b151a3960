"""The activation: ReLU6, which the paper chose for low precision (§3), against others.

python -m mobilenet_v2 ablate --config=configs/ablations/activation.py --workdir=runs/activation
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


ACTIVATIONS = ("relu6", "relu", "leaky_relu", "swish", "hard_swish", "gelu")


def sweep(config: ConfigDict) -> Sweep:
    """All that a config may name."""
    points = [Point(name, {"model.activation": name}) for name in ACTIVATIONS]
    return Sweep("Activations", "relu6", points)
