"""Width against the size of images (Figure 5): which of the two is the better way to a cheaper network?

    python -m mobilenet_v2 ablate --config=configs/ablations/width_resolution.py --workdir=runs/width_resolution

A line a width; the figure of accuracy against multiply-adds answers the question.
"""

from ml_collections import ConfigDict

from configs.ablations import at_size, base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


WIDTHS = (0.35, 0.5, 0.75, 1.0)
FACTORS = (0.5, 0.75, 1.0)


def sweep(config: ConfigDict) -> Sweep:
    """Each width at each size; compared with width 1 at the config's own size."""
    own = config.data.image_size
    points = []
    for width in WIDTHS:
        for size in (round(own * factor / 4) * 4 for factor in FACTORS):
            overrides = {"model.width_multiplier": width, **at_size(config, size)}
            points.append(Point(f"width{width:g}-{size}px", overrides, f"width {width:g}", size))
    baseline = f"width1-{round(own / 4) * 4}px"
    return Sweep("Width against the size of images", baseline, points, "side of the image (pixels)")
