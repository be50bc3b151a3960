"""MobileNetV2: inverted residual blocks with linear bottlenecks (arXiv 1801.04381)."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mobilenet_v2.models import convolutions
from mobilenet_v2.models.initializers import Initialization, kernel_initializers
from mobilenet_v2.models.layers import Activation, ConvNormAct, HeadRule, Padding, head_channels, make_divisible, relu6


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


class InvertedResidual(nn.Module):
    """The paper's block (Table 1): expand 1×1, depthwise 3×3, project 1×1, the last without activation.

    The input is added to the output where that is possible: stride 1 and equal channels (§3.3). With an
    expansion factor of 1 there is no expansion convolution.

    Attributes:
      features: output channels k′.
      expansion_factor: t, the expanded width over the *input* channels.
      stride: s, of the depthwise convolution.
      layer: `ConvNormAct` with everything bound that the network's layers share.
      channel_divisor: the expanded width is rounded to its multiples.
    """

    features: int
    expansion_factor: int
    stride: int
    layer: Any
    channel_divisor: int = 8

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, *, train: bool) -> jax.Array:
        """Returns [B, ⌈H / stride⌉, ⌈W / stride⌉, features]."""
        x = x_BxHxWxC
        channels = x.shape[-1]
        if self.expansion_factor != 1:
            expanded = make_divisible(channels * self.expansion_factor, self.channel_divisor)
            x = self.layer(expanded, name="expand")(x, train=train)
        x = self.layer(x.shape[-1], kernel_size=3, stride=self.stride, depthwise=True, name="depthwise")(x, train=train)
        x = self.layer(self.features, activation=None, name="project")(x, train=train)
        return x + x_BxHxWxC if self.stride == 1 and channels == self.features else x


class MobileNetV2(nn.Module):
    """The network of the paper's Table 2. Variables: `params` and `batch_stats`, all float32.

    Modules are named `stem`, `block_00` …, `head`, `classifier`; a block's layers `expand`, `depthwise`,
    `project`; each layer holds `conv` and `bn`.

    Attributes:
      num_classes: logits.
      expansion_factor: t of every stage that does not state its own.
      width_multiplier: α, scales every layer's channels; the head's by `head_rule`.
      stages: the bottlenecks, a row a stage.
      stem_channels, stem_stride: of the first 3×3 convolution; stride 1 suits 32-pixel images.
      head_channels: of the last 1×1 convolution, before `head_rule`.
      head_rule: see `layers.head_channels`.
      channel_divisor: widths are rounded to its multiples, see `make_divisible`.
      dropout_rate: probability that a pooled feature is dropped in training.
      padding: "same" (TF-slim, Keras) or "symmetric" (torchvision, timm), see `layers.spatial_padding`.
      batch_norm_epsilon: 1e-3 goes with "same", 1e-5 with "symmetric" in the published weights.
      batch_norm_momentum: weight of the old value in a running average.
      batch_norm_fast_variance: E[x²] − E[x]² in one pass; loses its digits where |mean| ≫ standard deviation.
      initialization: how kernels are drawn, see `initializers`.
      activation: after every layer but the projections.
      dtype: of the convolutions and activations. Parameters, statistics, pooling and logits stay float32.
    """

    num_classes: int = 1000
    expansion_factor: int = 6
    width_multiplier: float = 1.0
    stages: tuple[Stage, ...] = PAPER_STAGES
    stem_channels: int = 32
    stem_stride: int = 2
    head_channels: int = 1280
    head_rule: HeadRule = "paper"
    channel_divisor: int = 8
    dropout_rate: float = 0.2
    padding: Padding = "symmetric"
    batch_norm_epsilon: float = 1e-5
    batch_norm_momentum: float = 0.9
    batch_norm_fast_variance: bool = True
    initialization: Initialization = "torchvision"
    activation: Activation = relu6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits float32 [B, num_classes] of normalised images.

        In training mode batch norm uses the batch's own statistics and updates the running ones: apply with
        `mutable=["batch_stats"]` and an rng named "dropout".
        """
        layer = self._layer()
        scaled = functools.partial(self._scaled, multiplier=self.width_multiplier)
        x = image_BxHxWx3.astype(self.dtype)
        x = layer(scaled(self.stem_channels), kernel_size=3, stride=self.stem_stride, name="stem")(x, train=train)
        for index, (expansion_factor, channels, stride) in enumerate(self.blocks()):
            x = InvertedResidual(
                features=scaled(channels),
                expansion_factor=expansion_factor,
                stride=stride,
                layer=layer,
                channel_divisor=self.channel_divisor,
                name=f"block_{index:02d}",
            )(x, train=train)
        x = layer(self.head_width(), name="head")(x, train=train)
        pooled_BxC = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        pooled_BxC = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled_BxC)
        _, classifier_init = kernel_initializers(self.initialization)
        return nn.Dense(self.num_classes, kernel_init=classifier_init, name="classifier")(pooled_BxC)

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Each block's expansion factor, output channels before scaling, and stride."""
        for expansion_factor, channels, repeats, stride in self.stages:
            for repeat in range(repeats):
                yield expansion_factor or self.expansion_factor, channels, stride if repeat == 0 else 1

    def head_width(self) -> int:
        """Channels of the last convolution under `head_rule`."""
        channels = head_channels(self.head_channels, self.width_multiplier, self.head_rule)
        return make_divisible(channels, self.channel_divisor)

    def _scaled(self, channels: int, multiplier: float) -> int:
        return make_divisible(channels * multiplier, self.channel_divisor)

    def _layer(self) -> Any:
        """`ConvNormAct` with what all layers of this network share."""
        conv_init, _ = kernel_initializers(self.initialization)
        conv = functools.partial(
            nn.Conv,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=conv_init,
            conv_general_dilated=convolutions.conv_general_dilated,
        )
        norm = functools.partial(
            nn.BatchNorm,
            momentum=self.batch_norm_momentum,
            epsilon=self.batch_norm_epsilon,
            use_fast_variance=self.batch_norm_fast_variance,
            dtype=self.dtype,
        )
        return functools.partial(ConvNormAct, conv=conv, norm=norm, activation=self.activation, padding=self.padding)
