"""The parts that MobileNets are made of: channel rounding, padding, convolution + batch norm + activation."""

from collections.abc import Callable
from typing import Any, Literal

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.nn import relu6

from mobilenet_v2.models.activations import Activation

Padding = Literal["same", "symmetric", "keras_v1"]
HeadRule = Literal["paper", "shrink", "fixed"]
StemRule = Literal["scaled", "fixed"]

# What a rematerialisation policy knows the convolutions' outputs by.
CONVOLUTION = "convolution"


def make_divisible(channels: float, divisor: int = 8, round_limit: float = 0.9) -> int:
    """Rounds a scaled channel count to the hardware's taste.

    The nearest multiple of `divisor`, at least `divisor`, and raised by one step where rounding
    would lose more than 10 % of the channels. As in TF-slim's MobileNet, which the paper's
    checkpoints were trained with.

    Raises:
      ValueError: if `channels` or `divisor` is not positive.
    """
    if channels <= 0 or divisor <= 0:
        raise ValueError(f"channels and divisor must be positive, got {channels} and {divisor}")
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < round_limit * channels else rounded


def head_channels(channels: int, width_multiplier: float, rule: HeadRule) -> float:
    """Channels of the last 1×1 convolution, before rounding.

    "paper" leaves them alone below a width of 1 (§4, and every published network); "shrink" scales them always
    (TF-slim's bare default); "fixed" never (timm's 110d and 120d).
    """
    multiplier = {"paper": max(1.0, width_multiplier), "shrink": width_multiplier, "fixed": 1.0}[rule]
    return channels * multiplier


def spatial_padding(
    padding: Padding, kernel_size: int, stride: int = 1, dilation: int = 1
) -> str | tuple[tuple[int, int], tuple[int, int]]:
    """What `nn.Conv` calls the padding of a source family.

    "same" is TensorFlow's rule: at stride 2 an even side is padded at its end only. "symmetric" is
    PyTorch's: dilation · (kernel_size − 1) / 2 on each side. They differ by a shift of half a pixel at every stride,
    which weights trained under the other rule do not survive. "keras_v1" is what Keras's MobileNetV1 does in its
    depthwise convolutions: with a stride an odd side, too, is padded at its end only, and comes out smaller.

    Raises:
      ValueError: if `padding` is none of them.
    """
    if padding == "keras_v1" and stride > 1:
        end = dilation * (kernel_size - 1) // 2
        return ((0, end), (0, end))
    if padding in ("same", "keras_v1"):
        return "SAME"
    if padding == "symmetric":
        half = dilation * (kernel_size - 1) // 2
        return ((half, half), (half, half))
    raise ValueError(f"padding must be 'same', 'symmetric' or 'keras_v1', got {padding!r}")


class ConvNormAct(nn.Module):
    """Convolution without bias, batch norm, activation; `activation=None` makes it linear.

    With `norm=None` the convolution has a bias and nothing normalises: what folding leaves of a layer.

    Attributes:
      features: output channels.
      conv, norm: constructors with everything that all layers of a network share already bound.
      kernel_size, stride, dilation: of the convolution, the same in both directions.
      activation: `relu6` is the paper's, chosen for low-precision arithmetic (§3).
      depthwise: one filter for each input channel; `features` must equal the input's channels.
      padding: family, see `spatial_padding`.
    """

    features: int
    conv: Callable[..., Any]
    norm: Callable[..., Any] | None
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False
    activation: Activation | None = relu6
    padding: Padding = "symmetric"

    @nn.compact
    def __call__(self, x_BxHxWxC: jax.Array, *, train: bool) -> jax.Array:
        """Returns [B, ⌈H / stride⌉, ⌈W / stride⌉, features], rounded down for "keras_v1".

        `train` normalises by the batch's own statistics.
        """
        x = self.conv(
            self.features,
            kernel_size=(self.kernel_size, self.kernel_size),
            strides=self.stride,
            kernel_dilation=self.dilation,
            padding=spatial_padding(
                self.padding, self.kernel_size, self.stride if self.depthwise else 1, self.dilation
            ),
            feature_group_count=x_BxHxWxC.shape[-1] if self.depthwise else 1,
            use_bias=self.norm is None,
            name="conv",
        )(x_BxHxWxC)
        x = checkpoint_name(x, CONVOLUTION)
        if self.norm is not None:
            x = self.norm(use_running_average=not train, name="bn")(x)
        return x if self.activation is None else self.activation(x)
