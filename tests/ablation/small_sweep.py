"""A sweep whose runs take a second; also the file that tests give to `--config`."""

from ml_collections import ConfigDict

from mobilenet_v2.ablation.sweep import Point, Sweep
from tests import tiny


def get_config() -> ConfigDict:
    return tiny.get_config()


def sweep(config: ConfigDict) -> Sweep:
    points = [
        Point("t2", {"model.expansion_factor": 2, "model.stages": ((1, 8, 1, 1), (None, 16, 2, 2))}, x=2),
        Point("t3", {"model.expansion_factor": 3, "model.stages": ((1, 8, 1, 1), (None, 16, 2, 2))}, x=3),
    ]
    return Sweep("Small networks", "t2", points, "expansion factor t")
