"""MobileNetV2: inverted residual blocks with linear bottlenecks (arXiv 1801.04381)."""

import functools
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from mobilenet_v2.models import stand_in
from mobilenet_v2.models.inverted_residual import BatchNormPlacement, DepthwiseOrder, InvertedResidual, Residual
from mobilenet_v2.models.layers import HeadRule, head_channels, make_divisible, spatial_padding
from mobilenet_v2.models.network import Endpoints, Network, dilate, rematerialized


class Stage(NamedTuple):
    """A row of the paper's Table 2: `repeats` blocks of equal width, the first of them with `stride`.

    `expansion_factor` None stands for the network's own; Table 2 fixes it to 1 in the first row only.
    """

    expansion_factor: int | None
    channels: int
    repeats: int
    stride: int


PAPER_STAGES = (
    Stage(1, 16, 1, 1),
    Stage(None, 24, 2, 2),
    Stage(None, 32, 3, 2),
    Stage(None, 64, 4, 2),
    Stage(None, 96, 3, 1),
    Stage(None, 160, 3, 2),
    Stage(None, 320, 1, 1),
)


class MobileNetV2(Network):
    """The network of the paper's Table 2. Variables: `params` and `batch_stats`.

    Modules are named `stem`, `block_00` …, `head`, `classifier`; a block's layers `expand`, `depthwise`,
    `project`; each layer holds `conv` and, with batch norm, `bn`.

    Attributes:
      expansion_factor: t of every stage that does not state its own.
      stages: the bottlenecks, a row a stage.
      head_channels: of the last 1×1 convolution, before `head_rule`.
      head_rule: see `layers.head_channels`.
      channel_divisor: widths are rounded to its multiples, see `make_divisible`.
      linear_bottleneck, residual, batch_norm_placement, depthwise_order: the paper's ablations, see
        `inverted_residual`.
      Others: see `network.Network`.
    """

    expansion_factor: int = 6
    stages: tuple[Stage, ...] = PAPER_STAGES
    head_channels: int = 1280
    head_rule: HeadRule = "paper"
    channel_divisor: int = 8
    linear_bottleneck: bool = True
    residual: Residual = "bottlenecks"
    batch_norm_placement: BatchNormPlacement = "all"
    depthwise_order: DepthwiseOrder = "after_expansion"

    @nn.compact
    def features(self, image_BxHxWxC: jax.Array, names: Collection[str], *, train: bool) -> dict[str, jax.Array]:
        """As `Network.features`; a block's layers are "expansion", "depthwise" and "projection"."""
        found, layer, wide = Endpoints(names), self._layer(), None
        own_moments = train and self.frozen == "nothing"
        x = image_BxHxWxC.astype(self.dtype)
        x = layer(self.stem_width(), kernel_size=3, stride=self.stem_stride, name="stem")(x, train=own_moments)
        found.offer("stem", x)
        rows = list(self.blocks())
        for index, ((expansion_factor, channels, own_stride), (stride, dilation)) in enumerate(
            zip(rows, dilate([row[2] for row in rows], self.stem_stride, self.output_stride), strict=True)
        ):
            if found.complete:
                return found.found
            name = f"block_{index:02d}"
            record = found.inside(name)
            # A stride that became dilation still forbids the shortcut: the same weights mean the same network.
            residual = "none" if stride != own_stride and self.residual == "bottlenecks" else self.residual
            block = InvertedResidual if record else rematerialized(InvertedResidual, self.remat)
            block = block(
                features=self._scaled(channels),
                expansion_factor=expansion_factor,
                stride=stride,
                dilation=dilation,
                layer=layer,
                residual=residual,
                stand_in=None if record or dilation != 1 else self._fused(stride, train),
                record=record,
                name=name,
                **self._shared(),
            )
            x, wide = block(x, own_moments, wide) if self.residual == "expansions" else (block(x, own_moments), None)
            found.offer(name, x)
        if not found.complete:
            self._classify(found, layer(self.head_width(), name="head")(x, train=own_moments), train)
        return found.found

    def endpoint_names(self) -> list[str]:
        """What `endpoints` may be asked for, in the order in which it is computed."""
        names = ["stem"]
        for index, (expansion_factor, _, _) in enumerate(self.blocks()):
            layers = ["depthwise"] if expansion_factor == 1 else ["expansion", "depthwise"]
            if self.depthwise_order == "before_expansion":
                layers.reverse()
            name = f"block_{index:02d}"
            names += [*(f"{name}/{layer}" for layer in (*layers, "projection")), name]
        return [*names, "features", "pooled", *(["logits"] if self.num_classes else [])]

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Each block's expansion factor, output channels before scaling, and stride before `output_stride`."""
        for expansion_factor, channels, repeats, stride in self.stages:
            for repeat in range(repeats):
                yield expansion_factor or self.expansion_factor, channels, stride if repeat == 0 else 1

    def stem_width(self) -> int:
        """Channels of the first convolution under `stem_rule`."""
        return self.stem_channels if self.stem_rule == "fixed" else self._scaled(self.stem_channels)

    def head_width(self) -> int:
        """Channels of the last convolution under `head_rule`."""
        channels = head_channels(self.head_channels, self.width_multiplier, self.head_rule)
        return make_divisible(channels, self.channel_divisor)

    def _scaled(self, channels: int) -> int:
        return make_divisible(channels * self.width_multiplier, self.channel_divisor)

    def _shared(self) -> dict[str, Any]:
        """What all blocks are told alike."""
        names = ("channel_divisor", "linear_bottleneck", "batch_norm_placement", "depthwise_order")
        return {name: getattr(self, name) for name in names}

    def _fused(self, stride: int, train: bool) -> Any:
        """What runs in place of a block's layers, or None: so too where the layers must be seen."""
        seen = self.is_initializing() or self.is_mutable_collection("intermediates")
        # Folded blocks have right gradients, but keep every tile for them: slower than the layers, in more memory.
        folded_with_gradients = train and self.frozen == "batch_norm"
        plain = (self.linear_bottleneck, self.residual, self.batch_norm_placement, self.depthwise_order) == (
            True,
            "bottlenecks",
            "all",
            "after_expansion",
        )
        grouped = train and self.batch_norm_groups > 1
        if (
            seen
            or folded_with_gradients
            or grouped
            or not stand_in.applies(
                self.formulation,
                activation=self.activation,
                dtype=self.dtype,
                fast_variance=self.batch_norm_fast_variance,
                plain=plain,
            )
        ):
            return None
        return functools.partial(
            stand_in.apply,
            padding=spatial_padding(self.padding, 3, stride),
            epsilon=self.batch_norm_epsilon,
            momentum=self.batch_norm_momentum,
            unbiased=self.batch_norm_unbiased,
        )
