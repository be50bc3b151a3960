"""The width multiplier, as in the paper's Table 4 and Figure 5.

python -m mobilenet_v2 ablate --config=configs/ablations/width.py:image_folder --workdir=runs/width
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.4)


def sweep(config: ConfigDict) -> Sweep:
    """All of them; compared with width 1."""
    points = [Point(f"width{width:g}", {"model.width_multiplier": width}, x=width) for width in WIDTHS]
    return Sweep("Accuracy against the width", "width1", points, "width multiplier")
