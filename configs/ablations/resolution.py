"""The size of images, in training and evaluation, from half of the config's to half as much again (§6.1, Figure 5).

python -m mobilenet_v2 ablate --config=configs/ablations/resolution.py --workdir=runs/resolution
"""

from ml_collections import ConfigDict

from configs.ablations import at_size, base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)


def sweep(config: ConfigDict) -> Sweep:
    """Multiples of 4 pixels; compared with the config's own size."""
    sizes = {round(config.data.image_size * factor / 4) * 4: factor for factor in FACTORS}
    points = [Point(f"{size}px", at_size(config, size), x=size) for size in sizes]
    own = next(size for size, factor in sizes.items() if factor == 1)
    return Sweep("Accuracy against the size of images", f"{own}px", points, "side of the image (pixels)")
