"""Widths at which networks of different t cost the same multiply-adds."""

import bisect
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.errors import ConfigError
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.layers import make_divisible
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2

TOLERANCE = 0.02
_WIDTHS = [thousandths / 1000 for thousandths in range(50, 8001)]
_DIVISORS = (4, 2, 1)


@dataclasses.dataclass(frozen=True)
class EqualCost:
    """Width multipliers by t, and the `channel_divisor` that goes with all of them."""

    channel_divisor: int
    width_multipliers: Mapping[int, float]


def widths_of_equal_cost(config: ConfigDict, expansion_factors: Sequence[int]) -> EqualCost:
    """For each t the width whose multiply-adds, for one image, come nearest to those of `config`.

    Channels that are multiples of 8, as is usual, miss by up to 4 % at width 1. So they are multiples of 4, or of 2 or
    1 if that brings every t within 2 %: at width 0.35 the steps from one width to the next are large. Widths are in
    thousandths; of several with the same channels it is the one in their middle.

    Raises:
      ConfigError: if `config` is not of MobileNetV2, or what is reckoned here is not what the network costs.
    """
    if config.model.name != "mobilenet_v2":
        raise ConfigError(f"config.model.name is {config.model.name!r}, must be 'mobilenet_v2': it has no t to vary")
    counted = cost.count(build_model(config.model), config.data.image_size, config.data.channels)
    sides = [block.output_shape[0] for block in counted.blocks[:-1]]

    def reckoned(**changed: Any) -> int:
        return _multiply_adds(build_model({**config.model.to_dict(), **changed}), sides, config.data.channels)

    wanted = counted.multiply_adds
    if reckoned() != wanted:
        raise ConfigError("widths of equal cost can't be reckoned for this network: its layers are not Table 2's")
    found, farthest = EqualCost(1, {}), 1.0
    for divisor in _DIVISORS:
        widths, offs = {}, [0.0]
        for t in expansion_factors:

            def at(width: float, t: int = t, divisor: int = divisor) -> int:
                return reckoned(expansion_factor=t, channel_divisor=divisor, width_multiplier=width)

            widths[t] = _nearest_width(at, wanted)
            offs.append(abs(at(widths[t]) / wanted - 1))
        if max(offs) < farthest:
            found, farthest = EqualCost(divisor, widths), max(offs)
        if farthest <= TOLERANCE:
            break
    return found


def _nearest_width(multiply_adds: Callable[[float], int], wanted: int) -> float:
    """Where a cost, which grows with the width in steps, is nearest to what is wanted: the middle of its step."""
    above = bisect.bisect_left(_WIDTHS, wanted, key=multiply_adds)
    candidates = [_WIDTHS[index] for index in (above - 1, above) if 0 <= index < len(_WIDTHS)]
    nearest = min((multiply_adds(width) for width in candidates), key=lambda cost: abs(cost - wanted))
    first = bisect.bisect_left(_WIDTHS, nearest, key=multiply_adds)
    last = bisect.bisect_right(_WIDTHS, nearest, key=multiply_adds) - 1
    return _WIDTHS[(first + last) // 2]


def _multiply_adds(model: MobileNetV2, sides: Sequence[int], channels: int) -> int:
    """Of one image, by arithmetic: `cost.count` traces the network, which takes most of a second.

    Args:
      sides: of the outputs of stem, blocks and head, in pixels; no width changes them.
    """
    width = model.stem_width()
    total = 9 * channels * width * sides[0] ** 2
    before = sides[0]
    for (t, own, _), side in zip(model.blocks(), sides[1:-1], strict=True):
        out = make_divisible(own * model.width_multiplier, model.channel_divisor)
        wide = width if t == 1 else make_divisible(width * t, model.channel_divisor)
        expansion = 0 if t == 1 else width * wide * before**2
        total += expansion + (9 * wide + wide * out) * side**2
        width, before = out, side
    head = model.head_width()
    return total + width * head * sides[-1] ** 2 + head * model.num_classes
