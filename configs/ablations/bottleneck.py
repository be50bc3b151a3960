"""Linear bottlenecks, and where the shortcut goes (§6.3, Figure 6): one changed at a time.

    python -m mobilenet_v2 ablate --config=configs/ablations/bottleneck.py --workdir=runs/bottleneck

All have the same parameters and multiply-adds. What "between expansions" means is told in
`mobilenet_v2/models/inverted_residual.py`: the paper says no more than these words.
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


def sweep(config: ConfigDict) -> Sweep:
    """The paper's block, and three others."""
    points = [
        Point("paper", {"model.linear_bottleneck": True, "model.residual": "bottlenecks"}),
        Point("relu-in-bottleneck", {"model.linear_bottleneck": False, "model.residual": "bottlenecks"}),
        Point("shortcut-between-expansions", {"model.linear_bottleneck": True, "model.residual": "expansions"}),
        Point("no-shortcut", {"model.linear_bottleneck": True, "model.residual": "none"}),
    ]
    return Sweep("Linear bottlenecks and shortcuts", "paper", points)
