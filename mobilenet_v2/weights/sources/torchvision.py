"""torchvision's `mobilenet_v2`, and d-li14's, which it was written after: Sequentials numbered through."""

from collections.abc import Iterator

from mobilenet_v2.weights.name_map import TORCH, Layer, Source


def _layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    """The stem is `features.0`, the head the last of `features`; ConvBNReLU nests once more."""
    yield Layer("stem", "features.0.0", "features.0.1")
    for index in range(sum(repeats)):
        block, conv = f"block_{index:02d}", f"features.{index + 1}.conv"
        names = ["expand", "depthwise"] if index >= repeats[0] else ["depthwise"]
        for position, name in enumerate(names):
            yield Layer(f"{block}/{name}", f"{conv}.{position}.0", f"{conv}.{position}.1")
        yield Layer(f"{block}/project", f"{conv}.{len(names)}", f"{conv}.{len(names) + 1}")
    head = f"features.{sum(repeats) + 1}"
    yield Layer("head", f"{head}.0", f"{head}.1")


def _flat_layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    """In a block convolution, batch norm and activation are counted through: 0, 1 and 3, 4 and 6, 7."""
    yield Layer("stem", "features.0.0", "features.0.1")
    for index in range(sum(repeats)):
        block, conv = f"block_{index:02d}", f"features.{index + 1}.conv"
        names = ["expand", "depthwise", "project"] if index >= repeats[0] else ["depthwise", "project"]
        for position, name in enumerate(names):
            yield Layer(f"{block}/{name}", f"{conv}.{3 * position}", f"{conv}.{3 * position + 1}")
    yield Layer("head", "conv.0", "conv.1")


TORCHVISION = Source(
    name="torchvision",
    architecture="mobilenet_v2",
    layout=TORCH,
    stem="features.0.0",
    mark="features.1.conv.0.0.",
    layers=_layers,
    classifier="classifier.1",
    variant="torchvision/mobilenet_v2_100",
)

# github.com/d-li14/mobilenetv2.pytorch
D_LI14 = Source(
    name="d-li14",
    architecture="mobilenet_v2",
    layout=TORCH,
    stem="features.0.0",
    mark="features.1.conv.0.weight",
    layers=_flat_layers,
    classifier="classifier",
    variant="torchvision/mobilenet_v2_100",
    changes={"dropout_rate": 0.0},
)
