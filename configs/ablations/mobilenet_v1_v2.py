"""MobileNetV1 against MobileNetV2 over their widths (Figure 5, Table 4).

    python -m mobilenet_v2 ablate --config=configs/ablations/mobilenet_v1_v2.py --workdir=runs/v1_v2

The same recipe for both. At the same width they cost differently: accuracy against multiply-adds is the fair figure.
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


WIDTHS = (0.25, 0.5, 0.75, 1.0)
NETWORKS = {"mobilenet_v1": "v1", "mobilenet_v2": "v2"}


def sweep(config: ConfigDict) -> Sweep:
    """Both at each width; compared with MobileNetV2 of width 1."""
    points = [
        Point(f"{short}-width{width:g}", {"model.name": name, "model.width_multiplier": width}, name, width)
        for name, short in NETWORKS.items()
        for width in WIDTHS
    ]
    return Sweep("MobileNetV1 and MobileNetV2", "v2-width1", points, "width multiplier")
