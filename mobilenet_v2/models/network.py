"""What MobileNetV1 and V2 have in common: the fields of their layers, dilation, named features, the classifier."""

import difflib
import functools
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.nn import relu6

from mobilenet_v2.models import convolutions
from mobilenet_v2.models.activations import Activation
from mobilenet_v2.models.batch_norm import GroupedBatchNorm, UnbiasedBatchNorm
from mobilenet_v2.models.convolutions import Formulation
from mobilenet_v2.models.initializers import Initialization, Initializers, kernel_initializers
from mobilenet_v2.models.layers import CONVOLUTION, ConvNormAct, Padding, StemRule

Remat = Literal["none", "convolutions", "blocks"]
Frozen = Literal["nothing", "batch_norm", "backbone"]
Record = Callable[[str, jax.Array], None]
# As people write it: block5, block_5, Block 5.
_BLOCK = re.compile(r"^block[_ ]?(\d+)", re.IGNORECASE)


class Network(nn.Module):
    """A classifier of images; its subclasses say what lies between image and features. All variables are float32.

    Attributes:
      num_classes: logits; 0 leaves the classifier out, and the network's output is its pooled features.
      width_multiplier: α, scales every layer's channels.
      stem_channels, stem_stride: of the first 3×3 convolution; stride 1 suits 32-pixel images.
      stem_rule: "scaled" by α, as the other layers; "fixed" leaves `stem_channels` alone (timm's 110d and 120d).
      output_stride: the image's side over the features'. Once the strides have come to it, later ones become dilation,
        as in TF-slim and DeepLab (arXiv 1706.05587, §3.1); None leaves every stride as it is. Parameters are the same.
      dropout_rate: probability that a pooled feature is dropped in training.
      padding: "same" (TF-slim, Keras), "symmetric" (torchvision, timm) or "keras_v1", see `layers.spatial_padding`.
      batch_norm_epsilon: 1e-3 goes with "same", 1e-5 with "symmetric" in the published weights.
      batch_norm_momentum: weight of the old value in a running average.
      batch_norm_fast_variance: E[x²] − E[x]² in one pass; loses its digits where |mean| ≫ standard deviation.
      batch_norm_unbiased: the running variance moves by the unbiased one, see `batch_norm`.
      batch_norm_groups: parts of a batch that are normalised each by its own statistics in training, see `batch_norm`.
      initialization: how kernels are drawn, see `initializers`.
      activation: after every layer but a linear bottleneck's.
      frozen: what training leaves as it is: "nothing"; "batch_norm": running statistics normalise in training, too,
        and don't move, while scales and biases have gradients; "backbone": there are gradients of the classifier alone.
      batch_norm: False leaves it out and gives the convolutions biases, see `folding`.
      dtype: of the convolutions and activations. Parameters, statistics, pooling and logits stay float32.
      formulation: how it is computed: "auto" by platform, see `convolutions` and `stand_in`. Values are the same, and
        gradients; "lax" alone has forward-mode derivatives, and gradients through updated statistics in every case.
      remat: what the backward pass computes again instead of keeping it: "none"; "convolutions" keeps their outputs
        and recomputes batch norm and activation; "blocks" keeps the blocks' inputs only, as fused blocks do under
        both.
      provenance: where its weights came from, see `variants.Provenance`; nothing is computed with it.
    """

    num_classes: int = 1000
    width_multiplier: float = 1.0
    stem_channels: int = 32
    stem_stride: int = 2
    stem_rule: StemRule = "scaled"
    output_stride: int | None = None
    dropout_rate: float = 0.2
    padding: Padding = "symmetric"
    batch_norm_epsilon: float = 1e-5
    batch_norm_momentum: float = 0.9
    batch_norm_fast_variance: bool = True
    batch_norm_unbiased: bool = False
    batch_norm_groups: int = 1
    initialization: Initialization = "torchvision"
    activation: Activation = relu6
    frozen: Frozen = "nothing"
    batch_norm: bool = True
    dtype: Any = jnp.float32
    formulation: Formulation = "auto"
    remat: Remat = "none"
    provenance: Any = None

    def __call__(self, image_BxHxWxC: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits float32 [B, num_classes] of normalised images, of any number of channels.

        In training mode batch norm uses the batch's own statistics and updates the running ones: apply with
        `mutable=["batch_stats"]` and an rng named "dropout". Where it is `frozen` batch norm does neither; dropout
        drops all the same.
        """
        last = "logits" if self.num_classes else "pooled"
        return self.features(image_BxHxWxC, [last], train=train)[last]

    def features(self, image_BxHxWxC: jax.Array, names: Collection[str], *, train: bool) -> dict[str, jax.Array]:
        """The features of these names, and of the network no more than they need."""
        raise NotImplementedError

    def endpoint_names(self) -> list[str]:
        """What `endpoints` may be asked for, in the order in which it is computed."""
        raise NotImplementedError

    @nn.nowrap
    def endpoints(
        self,
        variables: Any,
        image_BxHxWxC: jax.Array,
        names: Collection[str],
        *,
        train: bool = False,
        **arguments: Any,
    ) -> Any:
        """The named features of normalised images: {"block_05/expansion": [B, H, W, C], "pooled": [B, C], …}.

        Blocks beyond the last name are not computed, and only blocks whose inside is asked for run layer by layer
        where a fused one would stand in. `variables` may lack what is not computed.

        Args:
          names: of `endpoint_names()`: "stem", "block_05" (its output), a layer's output as "block_05/depthwise",
            "features" (before pooling), "pooled", "logits".
          arguments: of `apply`: with `mutable`, as training needs it, the updated variables are returned as well.

        Raises:
          ValueError: if the network has no endpoint of a name, with the nearest one.
        """
        self.check_endpoints(names)
        return self.apply(variables, image_BxHxWxC, list(names), train=train, method="features", **arguments)

    @nn.nowrap
    def check_endpoints(self, names: Collection[str]) -> None:
        """Says nothing where the network has endpoints of all these names.

        Raises:
          ValueError: if not, with the nearest one, and those that there are.
        """
        known = self.endpoint_names()
        for name in names:
            if name in known:
                continue
            padded = _BLOCK.sub(lambda found: f"block_{int(found[1]):02d}", str(name))
            near = [padded] if padded in known else difflib.get_close_matches(padded, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            within = next((one for one in reversed(known) if "/" in one), "")
            whole = [one for one in known if "/" not in one]
            raise ValueError(
                f"{type(self).__name__} has no endpoint {name!r}{hint} It has {', '.join(whole)}, and layers within "
                f"blocks, as {within}"
            )

    def _classify(self, found: "Endpoints", x_BxHxWxC: jax.Array, train: bool) -> None:
        """From the last convolution's output to the logits, as far as they are asked for."""
        found.offer("features", x_BxHxWxC)
        if found.complete:
            return
        pooled_BxC = jnp.mean(x_BxHxWxC, axis=(1, 2), dtype=jnp.promote_types(x_BxHxWxC.dtype, jnp.float32))
        found.offer("pooled", pooled_BxC)
        if found.complete or not self.num_classes:
            return
        if self.frozen == "backbone":
            pooled_BxC = lax.stop_gradient(pooled_BxC)
        pooled_BxC = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled_BxC)
        initializer = kernel_initializers(self.initialization).classifier
        found.offer("logits", nn.Dense(self.num_classes, kernel_init=initializer, name="classifier")(pooled_BxC))

    def _layer(self) -> Any:
        """`ConvNormAct` with what all layers of this network share."""
        conv = functools.partial(
            _convolution,
            initializers=kernel_initializers(self.initialization),
            dtype=self.dtype,
            conv_general_dilated=functools.partial(convolutions.conv_general_dilated, formulation=self.formulation),
        )
        kind: Any = UnbiasedBatchNorm if self.batch_norm_unbiased else nn.BatchNorm
        if self.batch_norm_groups > 1:
            groups, unbiased = self.batch_norm_groups, self.batch_norm_unbiased
            kind = functools.partial(GroupedBatchNorm, groups=groups, unbiased=unbiased)
        norm = functools.partial(
            kind,
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


class Endpoints:
    """Gathers, while a network is run, the features that were asked for."""

    def __init__(self, names: Collection[str]) -> None:
        self.found: dict[str, jax.Array] = {}
        self._names = frozenset(names)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be found."""
        return len(self.found) == len(self._names)

    def offer(self, name: str, value: jax.Array) -> None:
        """Keeps `value` if it was asked for."""
        if name in self._names:
            self.found[name] = value

    def inside(self, block: str) -> Record | None:
        """What a block reports its layers' outputs to; None where none of them was asked for."""
        if not any(name.startswith(f"{block}/") for name in self._names):
            return None
        return lambda layer, value: self.offer(f"{block}/{layer}", value)


def dilate(strides: Iterable[int], start: int, output_stride: int | None) -> list[tuple[int, int]]:
    """(stride, dilation) of each block, of which later strides are dilation once `output_stride` is reached.

    The block whose stride is taken away keeps the dilation of those before it, as in TF-slim: what it reads lies where
    it did, and what comes after it reads further apart.

    Args:
      strides: as the blocks are without dilation.
      start: the stem's stride.
    """
    current, dilation, result = start, 1, []
    for stride in strides:
        if output_stride is not None and current >= output_stride:
            result.append((1, dilation))
            dilation *= stride
        else:
            result.append((stride, 1))
            current *= stride
    return result


def rematerialized(block: Any, remat: Remat) -> Any:
    """The module class `block`, called as (x, train, …), of which the backward pass keeps what `remat` says."""
    if remat == "none":
        return block
    named = jax.checkpoint_policies.save_only_these_names(CONVOLUTION)
    policy = {"convolutions": named, "blocks": None}[remat]
    return nn.remat(block, static_argnums=(2,), policy=policy)


def _convolution(features: int, *, feature_group_count: int, initializers: Initializers, **arguments: Any) -> nn.Conv:
    kernel_init = initializers.depthwise if feature_group_count > 1 else initializers.convolution
    return nn.Conv(features, feature_group_count=feature_group_count, kernel_init=kernel_init, **arguments)
