"""MobileNetV2: inverted residual blocks with linear bottlenecks (arXiv 1801.04381)."""

import functools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from mobilenet_v2.models import convolutions, stand_in
from mobilenet_v2.models.convolutions import Formulation
from mobilenet_v2.models.initializers import Initialization, kernel_initializers
from mobilenet_v2.models.layers import (
    CONVOLUTION,
    Activation,
    ConvNormAct,
    HeadRule,
    Padding,
    head_channels,
    make_divisible,
    relu6,
    spatial_padding,
)

Remat = Literal["none", "convolutions", "blocks"]


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
      stand_in: runs instead of the three layers, on their variables; see `stand_in.apply`.
    """

    features: int
    expansion_factor: int
    stride: int
    layer: Any
    channel_divisor: int = 8
    stand_in: Any = None

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        """Returns [B, ⌈H / stride⌉, ⌈W / stride⌉, features]."""
        x = x_BxHxWxC
        channels = x.shape[-1]
        if self.stand_in is not None:
            x = self._stand_in(x, train)
        else:
            if self.expansion_factor != 1:
                expanded = make_divisible(channels * self.expansion_factor, self.channel_divisor)
                x = self.layer(expanded, name="expand")(x, train=train)
            x = self.layer(x.shape[-1], kernel_size=3, stride=self.stride, depthwise=True, name="depthwise")(
                x, train=train
            )
            x = self.layer(self.features, activation=None, name="project")(x, train=train)
        return x + x_BxHxWxC if self.stride == 1 and channels == self.features else x

    def _stand_in(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        x, batch_stats = self.stand_in(self.variables, x_BxHxWxC, stride=self.stride, train=train)
        if train:
            for name, stats in batch_stats.items():
                self.put_variable("batch_stats", name, stats)
        return x


class MobileNetV2(nn.Module):
    """The network of the paper's Table 2. Variables: `params` and `batch_stats`, all float32.

    Modules are named `stem`, `block_00` …, `head`, `classifier`; a block's layers `expand`, `depthwise`,
    `project`; each layer holds `conv` and, with batch norm, `bn`.

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
      batch_norm: False leaves it out and gives the convolutions biases, see `folding`.
      dtype: of the convolutions and activations. Parameters, statistics, pooling and logits stay float32.
      formulation: how it is computed: "auto" by platform, see `convolutions` and `stand_in`. Values are the same, and
        gradients; "lax" alone has forward-mode derivatives, and gradients through updated statistics in every case.
      remat: what the backward pass computes again instead of keeping it: "none"; "convolutions" keeps their outputs
        and recomputes batch norm and activation; "blocks" keeps the blocks' inputs only, as fused blocks do under
        both.
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
    batch_norm: bool = True
    dtype: Any = jnp.float32
    formulation: Formulation = "auto"
    remat: Remat = "none"

    @nn.compact
    def __call__(self, image_BxHxWx3: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits float32 [B, num_classes] of normalised images.

        In training mode batch norm uses the batch's own statistics and updates the running ones: apply with
        `mutable=["batch_stats"]` and an rng named "dropout".
        """
        layer = self._layer()
        block, fused = _rematerialized(self.remat), self._fused()
        scaled = functools.partial(self._scaled, multiplier=self.width_multiplier)
        x = image_BxHxWx3.astype(self.dtype)
        x = layer(scaled(self.stem_channels), kernel_size=3, stride=self.stem_stride, name="stem")(x, train=train)
        for index, (expansion_factor, channels, stride) in enumerate(self.blocks()):
            x = block(
                features=scaled(channels),
                expansion_factor=expansion_factor,
                stride=stride,
                layer=layer,
                channel_divisor=self.channel_divisor,
                stand_in=fused,
                name=f"block_{index:02d}",
            )(x, train)
        x = layer(self.head_width(), name="head")(x, train=train)
        pooled_BxC = jnp.mean(x, axis=(1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32))
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
            dtype=self.dtype,
            kernel_init=conv_init,
            conv_general_dilated=functools.partial(convolutions.conv_general_dilated, formulation=self.formulation),
        )
        norm = functools.partial(
            nn.BatchNorm,
            momentum=self.batch_norm_momentum,
            epsilon=self.batch_norm_epsilon,
            use_fast_variance=self.batch_norm_fast_variance,
            dtype=self.dtype,
        )
        return functools.partial(
            ConvNormAct,
            conv=conv,
            norm=norm if self.batch_norm else None,
            activation=self.activation,
            padding=self.padding,
        )

    def _fused(self) -> Any:
        """What runs in place of the blocks' layers, or None: so too where the layers must be seen."""
        seen = self.is_initializing() or self.is_mutable_collection("intermediates")
        if seen or not stand_in.applies(
            self.formulation,
            activation=self.activation,
            dtype=self.dtype,
            fast_variance=self.batch_norm_fast_variance,
        ):
            return None
        return functools.partial(
            stand_in.apply,
            padding=spatial_padding(self.padding, 3),
            epsilon=self.batch_norm_epsilon,
            momentum=self.batch_norm_momentum,
        )


def _rematerialized(remat: Remat) -> type[InvertedResidual]:
    """`InvertedResidual`, of which the backward pass keeps what `remat` says."""
    if remat == "none":
        return InvertedResidual
    named = jax.checkpoint_policies.save_only_these_names(CONVOLUTION)
    policy = {"convolutions": named, "blocks": None}[remat]
    return nn.remat(InvertedResidual, static_argnums=(2,), policy=policy)
