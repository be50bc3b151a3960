"""The expansion factor t, from 1 to 10: at equal width, and at equal multiply-adds (§3.3, §6.2: 5 to 10 are alike).

    python -m mobilenet_v2 ablate --config=configs/ablations/expansion_factor.py --workdir=runs/t
    python -m mobilenet_v2 ablate --config=configs/ablations/expansion_factor.py:image_folder --workdir=runs/t_emoji

At equal width a larger t is a larger network. At equal multiply-adds the width is such that all cost what t = 6 costs,
to 2 %; for that, channels are rounded to multiples of 4, 2 or 1 instead of 8.
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.equal_cost import widths_of_equal_cost
from mobilenet_v2.ablation.sweep import Point, Sweep

FACTORS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


def sweep(config: ConfigDict) -> Sweep:
    """Each t twice, but 6, the paper's, once."""
    field = "model.expansion_factor"
    points = [Point("t6", {field: 6}, x=6)]
    points += [Point(f"t{t}", {field: t}, "equal width", t) for t in FACTORS if t != 6]
    paper = config.copy_and_resolve_references()
    paper.model.expansion_factor = 6
    equal = widths_of_equal_cost(paper, [t for t in FACTORS if t != 6])
    for t, width in equal.width_multipliers.items():
        overrides = {
            field: t,
            "model.width_multiplier": width,
            "model.channel_divisor": equal.channel_divisor,
        }
        points.append(Point(f"t{t}-equal-cost", overrides, "equal multiply-adds", t))
    return Sweep("Accuracy against the expansion factor", "t6", points, "expansion factor t")
