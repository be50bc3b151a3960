"""Where batch norm stands: after every convolution, as here and in all published networks, or not after one kind.

    python -m mobilenet_v2 ablate --config=configs/ablations/batch_norm_placement.py --workdir=runs/batch_norm

The paper says that batch norm follows "every layer" and does not say whether the projection, which has no activation,
is one. A layer without it has a bias.
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


PLACEMENTS = {
    "all": "everywhere",
    "not_after_projection": "not-after-projection",
    "not_after_depthwise": "not-after-depthwise",
}


def sweep(config: ConfigDict) -> Sweep:
    """Compared with batch norm everywhere."""
    points = [Point(name, {"model.batch_norm_placement": value}) for value, name in PLACEMENTS.items()]
    return Sweep("Where batch norm stands", "everywhere", points)
