"""TF-slim's MobileNets (tensorflow/models, research/slim/nets/mobilenet): variables by scope."""

from collections.abc import Iterator

from mobilenet_v2.weights.arrays import Arrays
from mobilenet_v2.weights.name_map import SLIM, V1_BLOCKS, Layer, Source

_SHADOW = "/ExponentialMovingAverage"
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum", "/Adam", "/Adam_1")


def averaged(arrays: Arrays) -> Arrays:
    """Each variable's moving average where the checkpoint has one, the variable itself where not.

    Slots of the optimizer and what lies outside the network's scope are left out. The slim trainer averages the
    moving means and variances too; another may have averaged the trained variables only.
    """
    network = {name: array for name, array in arrays.items() if name.startswith("Mobilenet")}
    weights = {name: array for name, array in network.items() if not name.endswith((_SHADOW, *_SLOTS))}
    shadows = {name.removesuffix(_SHADOW): array for name, array in network.items() if name.endswith(_SHADOW)}
    return {**weights, **shadows}


def _layer(ours: str, scope: str) -> Layer:
    return Layer(ours, scope, f"{scope}/BatchNorm")


def _v2_layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    yield _layer("stem", "MobilenetV2/Conv")
    for index in range(sum(repeats)):
        scope = f"MobilenetV2/expanded_conv_{index}" if index else "MobilenetV2/expanded_conv"
        for name in ("expand", "depthwise", "project") if index >= repeats[0] else ("depthwise", "project"):
            yield _layer(f"block_{index:02d}/{name}", f"{scope}/{name}")
    yield _layer("head", "MobilenetV2/Conv_1")


def _v1_layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    yield _layer("stem", "MobilenetV1/Conv2d_0")
    for index in range(V1_BLOCKS):
        for name in ("depthwise", "pointwise"):
            yield _layer(f"block_{index:02d}/{name}", f"MobilenetV1/Conv2d_{index + 1}_{name}")


# mobilenet_v2.py `training_scope`; mobilenet_v1.py `mobilenet_v1_arg_scope`
SLIM_V2 = Source(
    name="slim",
    architecture="mobilenet_v2",
    layout=SLIM,
    stem="MobilenetV2/Conv",
    layers=_v2_layers,
    classifier="MobilenetV2/Logits/Conv2d_1c_1x1",
    variant="slim/mobilenet_v2_100",
    canonical=averaged,
    classifier_as_conv=True,
)
SLIM_V1 = Source(
    name="slim_v1",
    architecture="mobilenet_v1",
    layout=SLIM,
    stem="MobilenetV1/Conv2d_0",
    layers=_v1_layers,
    classifier="MobilenetV1/Logits/Conv2d_1c_1x1",
    variant="slim/mobilenet_v1_100",
    canonical=averaged,
    classifier_as_conv=True,
)
