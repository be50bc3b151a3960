"""timm's `mobilenetv2_*`: blocks numbered within their stages."""

import re
from collections import Counter
from collections.abc import Collection, Iterator

from mobilenet_v2.weights.name_map import TORCH, Layer, Source

_BLOCK = re.compile(r"blocks\.(\d{1,6})\.(\d{1,6})\.")


def _layers(repeats: tuple[int, ...]) -> Iterator[Layer]:
    """The first stage's blocks are depthwise separable: their `conv_pw` is the projection."""
    yield Layer("stem", "conv_stem", "bn1")
    index = 0
    for stage, count in enumerate(repeats):
        names = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
        if stage == 0:
            names = {"depthwise": "conv_dw", "project": "conv_pw"}
        for repeat in range(count):
            for position, (ours, conv) in enumerate(names.items(), start=1):
                block = f"blocks.{stage}.{repeat}"
                yield Layer(f"block_{index:02d}/{ours}", f"{block}.{conv}", f"{block}.bn{position}")
            index += 1
    yield Layer("head", "conv_head", "bn2")


def _repeats(names: Collection[str]) -> tuple[int, ...]:
    """Blocks in each stage: 110d and 120d have more than the paper. Counted, as numbers may be false."""
    blocks = {match.groups() for match in map(_BLOCK.match, names) if match}
    counts = Counter(stage for stage, _ in blocks)
    return tuple(counts[stage] for stage in sorted(counts, key=int))


# timm/models/efficientnet.py, `_gen_mobilenet_v2`
TIMM = Source(
    name="timm",
    architecture="mobilenet_v2",
    layout=TORCH,
    stem="conv_stem",
    mark="blocks.0.0.conv_dw.",
    layers=_layers,
    classifier="classifier",
    variant="timm/mobilenetv2_100",
    repeats=_repeats,
)
