"""The inverted residual block with a linear bottleneck (arXiv 1801.04381, §3), and the paper's ablations of it."""

import functools
from typing import Any, Literal

import jax
from flax import linen as nn

from mobilenet_v2.models.layers import make_divisible
from mobilenet_v2.models.network import Record

Residual = Literal["bottlenecks", "expansions", "none"]
BatchNormPlacement = Literal["all", "not_after_projection", "not_after_depthwise"]
DepthwiseOrder = Literal["after_expansion", "before_expansion"]


class InvertedResidual(nn.Module):
    """The paper's block (Table 1): expand 1×1, depthwise 3×3, project 1×1, the last without activation.

    The input is added to the output where that is possible: stride 1 and equal channels (§3.3). With an
    expansion factor of 1 there is no expansion convolution. Every switch but `depthwise_order` and
    `batch_norm_placement` leaves parameters and multiply-adds as they are.

    Attributes:
      features: output channels k′.
      expansion_factor: t, the expanded width over the *input* channels.
      stride, dilation: of the depthwise convolution.
      layer: `ConvNormAct` with everything bound that the network's layers share.
      channel_divisor: the expanded width is rounded to its multiples.
      linear_bottleneck: False puts the layers' activation after the projection's batch norm, before the addition
        (Figure 6a; TF-slim's `project_activation_fn`).
      residual: which tensors are added (Figure 6b): "bottlenecks", "none", or "expansions": block i's expansion and
        what block i − 1 made of its own are added where their shapes agree, and the sum goes on in place of the
        expansion. The paper says no more than "between expansions"; at width 1 these are 10 shortcuts, as many as
        between bottlenecks.
      batch_norm_placement: a layer without batch norm gets a bias.
      depthwise_order: "before_expansion" filters the thin input, of 1/t the channels, and then expands.
      stand_in: runs instead of the three layers, on their variables; see `stand_in.apply`.
      record: is told the outputs "expansion", "depthwise" and "projection" (before the addition).
    """

    features: int
    expansion_factor: int
    stride: int
    layer: Any
    channel_divisor: int = 8
    dilation: int = 1
    linear_bottleneck: bool = True
    residual: Residual = "bottlenecks"
    batch_norm_placement: BatchNormPlacement = "all"
    depthwise_order: DepthwiseOrder = "after_expansion"
    stand_in: Any = None
    record: Record | None = None

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, train: bool, wide: jax.Array | None = None) -> Any:
        """Returns y [B, H', W', features]; under `residual` "expansions" (y, h), h being the next block's `wide`.

        Args:
          train: normalise by the batch's own statistics.
          wide: the last block's h, [B, H, W, tC] or of another shape; None where there is none.
        """
        if self.stand_in is not None:
            x = self._stand_in(x_BxHxWxC, train)
        elif self.depthwise_order == "before_expansion":
            x = self._depthwise(x_BxHxWxC, train)
            x, wide = self._expand(x, train, wide)
            x = self._project(x, train)
        else:
            x, wide = self._expand(x_BxHxWxC, train, wide)
            x = self._depthwise(x, train)
            x = self._project(x, train)
        y = x + x_BxHxWxC if self.has_shortcut(x_BxHxWxC.shape[-1]) else x
        return (y, wide) if self.residual == "expansions" else y

    def has_shortcut(self, channels: int) -> bool:
        """Whether an input of so many channels is added to the output."""
        return self.residual == "bottlenecks" and self.stride == 1 and channels == self.features

    def _expand(self, x_BxHxWxC: jax.Array, train: bool, wide: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
        """What goes on from the expansion, and what the next block may add to its own."""
        if self.expansion_factor == 1:
            return x_BxHxWxC, None
        features = make_divisible(x_BxHxWxC.shape[-1] * self.expansion_factor, self.channel_divisor)
        x = self.layer(features, name="expand")(x_BxHxWxC, train=train)
        self._record("expansion", x)
        if self.residual != "expansions":
            return x, None
        x = x if wide is None or wide.shape != x.shape else x + wide
        return x, x

    def _depthwise(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        layer = self._without_norm() if self.batch_norm_placement == "not_after_depthwise" else self.layer
        x = layer(
            x_BxHxWxC.shape[-1],
            kernel_size=3,
            stride=self.stride,
            dilation=self.dilation,
            depthwise=True,
            name="depthwise",
        )(x_BxHxWxC, train=train)
        self._record("depthwise", x)
        return x

    def _project(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        layer = self._without_norm() if self.batch_norm_placement == "not_after_projection" else self.layer
        activation = {"activation": None} if self.linear_bottleneck else {}
        x = layer(self.features, name="project", **activation)(x_BxHxWxC, train=train)
        self._record("projection", x)
        return x

    def _without_norm(self) -> Any:
        return functools.partial(self.layer, norm=None)

    def _record(self, name: str, value: jax.Array) -> None:
        if self.record is not None:
            self.record(name, value)

    def _stand_in(self, x_BxHxWxC: jax.Array, train: bool) -> jax.Array:
        x, batch_stats = self.stand_in(self.variables, x_BxHxWxC, stride=self.stride, train=train)
        if train:
            for name, stats in batch_stats.items():
                self.put_variable("batch_stats", name, stats)
        return x
