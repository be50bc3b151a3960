"""The padding families: TF-slim's "same" with its batch norm's ε of 0.001, and torchvision's "symmetric" with 0.00001.

    python -m mobilenet_v2 ablate --config=configs/ablations/padding.py --workdir=runs/padding

Trained from scratch. Weights of one family lose accuracy under the other; that is another question.
"""

from ml_collections import ConfigDict

from configs.ablations import base_config
from mobilenet_v2.ablation.sweep import Point, Sweep


def get_config(base: str = "digits") -> ConfigDict:
    """What is varied."""
    return base_config(base)


def sweep(config: ConfigDict) -> Sweep:
    """Both, each with both ε: four points, so that the two can be told apart."""
    points = [
        Point(f"{padding}-{name}", {"model.padding": padding, "model.batch_norm_epsilon": epsilon})
        for padding in ("same", "symmetric")
        for name, epsilon in (("1e-3", 1e-3), ("1e-5", 1e-5))
    ]
    return Sweep("Padding and batch norm's ε", "same-1e-3", points)
