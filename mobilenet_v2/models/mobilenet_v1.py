"""MobileNetV1: depthwise separable convolutions (arXiv 1704.04861), the baseline of the V2 paper."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from mobilenet_v2.models.network import Endpoints, Network, Record, dilate, rematerialized


class SeparableStage(NamedTuple):
    """Rows of the paper's Table 1: `repeats` blocks of equal width, the first of them with `stride`."""

    channels: int
    repeats: int
    stride: int


V1_STAGES = (
    SeparableStage(64, 1, 1),
    SeparableStage(128, 2, 2),
    SeparableStage(256, 2, 2),
    SeparableStage(512, 6, 2),
    SeparableStage(1024, 2, 2),
)


class SeparableBlock(nn.Module):
    """Depthwise 3×3, then pointwise 1×1, each with batch norm and activation (§3.1). No shortcut.

    Attributes:
      features: output channels.
      stride, dilation: of the depthwise convolution.
      layer: `ConvNormAct` with everything bound that the network's layers share.
      record: is told the depthwise convolution's output, "depthwise".
    """

    features: int
    stride: int
    layer: Any
    dilation: int = 1
    record: Record | None = None

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns [B, H', W', features]; `train` normalises by the batch's own statistics."""
        x = self.layer(
            x_BxHxWxC.shape[-1],
            kernel_size=3,
            stride=self.stride,
            dilation=self.dilation,
            depthwise=True,
            name="depthwise",
        )(x_BxHxWxC, train=train)
        if self.record is not None:
            self.record("depthwise", x)
        return self.layer(self.features, name="pointwise")(x, train=train)


class MobileNetV1(Network):
    """The network of the V1 paper's Table 1. Variables: `params` and `batch_stats`.

    Modules are named `stem`, `block_00` … `block_12`, `classifier`; a block's layers `depthwise`, `pointwise`. Widths
    are ⌊α · channels⌋, at least 8, as in TF-slim. Fused blocks do not concern it: "fused" is computed as "auto".

    Attributes:
      separable_stages: the blocks, a row a stage.
      Others: see `network.Network`.
    """

    separable_stages: tuple[SeparableStage, ...] = V1_STAGES

    @nn.compact
    def features(self, image_BxHxWxC: jax.Array, names: Collection[str], *, train: bool) -> dict[str, jax.Array]:
        """As `Network.features`; a block has one layer to see, "depthwise": the other's output is the block's."""
        found, layer = Endpoints(names), self._layer()
        own_moments = train and self.frozen == "nothing"
        x = image_BxHxWxC.astype(self.dtype)
        x = layer(self.stem_width(), kernel_size=3, stride=self.stem_stride, name="stem")(x, train=own_moments)
        found.offer("stem", x)
        rows = list(self.blocks())
        strides = dilate([row[1] for row in rows], self.stem_stride, self.output_stride)
        for index, ((channels, _), (stride, dilation)) in enumerate(zip(rows, strides, strict=True)):
            if found.complete:
                return found.found
            name = f"block_{index:02d}"
            record = found.inside(name)
            block = SeparableBlock if record else rematerialized(SeparableBlock, self.remat)
            features = self._scaled(channels)
            block = block(features, stride, layer=layer, dilation=dilation, record=record, name=name)
            x = block(x, own_moments)
            found.offer(name, x)
        if not found.complete:
            self._classify(found, x, train)
        return found.found

    def endpoint_names(self) -> list[str]:
        """What `endpoints` may be asked for, in the order in which it is computed."""
        names = [f"block_{index:02d}{part}" for index, _ in enumerate(self.blocks()) for part in ("/depthwise", "")]
        return ["stem", *names, "features", "pooled", *(["logits"] if self.num_classes else [])]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Each block's output channels before scaling, and stride before `output_stride`."""
        for channels, repeats, stride in self.separable_stages:
            for repeat in range(repeats):
                yield channels, stride if repeat == 0 else 1

    def stem_width(self) -> int:
        """Channels of the first convolution under `stem_rule`."""
        return self.stem_channels if self.stem_rule == "fixed" else self._scaled(self.stem_channels)

    def _scaled(self, channels: int) -> int:
        return max(8, int(channels * self.width_multiplier))
