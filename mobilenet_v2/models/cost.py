"""What a network costs: exact parameters, multiply-adds and activation memory, per block.

Counted on the network itself, by tracing it without computing anything, so that whatever the configuration
says is what is counted.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from mobilenet_v2.models.inverted_residual import InvertedResidual


@dataclasses.dataclass(frozen=True)
class BlockCost:
    """Cost of one top-level block, for one image.

    Attributes:
      name: as in the variables, `block_05`.
      output_shape: (height, width, channels), or (features,) of the classifier.
      expanded_channels: the depthwise convolution's; 0 where there is none.
      parameters: trainable ones, batch norm's scale and bias included.
      batch_stats: running means and variances.
      multiply_adds: multiplications of convolutions and classifier at every output position, padding included.
        Batch norm, activations, biases, additions and pooling are not counted, as in the paper.
      output_bytes: the block's output, what is kept between blocks (the paper's Table 3).
      peak_bytes: the most that must be held while the block runs at inference: the largest sum, over its layers,
        of a layer's input and output, and of the block's input where the shortcut still needs it (§5.1, eq. 2).
        Shortcuts between expansions, an ablation, are left out.
    """

    name: str
    output_shape: tuple[int, ...]
    expanded_channels: int
    parameters: int
    batch_stats: int
    multiply_adds: int
    output_bytes: int
    peak_bytes: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a network for one image: the blocks in order, and their totals."""

    blocks: tuple[BlockCost, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters: the figure that papers and libraries call parameters."""
        return sum(block.parameters for block in self.blocks)

    @property
    def batch_stats(self) -> int:
        """Running means and variances: state, not trained."""
        return sum(block.batch_stats for block in self.blocks)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image."""
        return sum(block.multiply_adds for block in self.blocks)

    @property
    def peak_bytes(self) -> int:
        """Activation memory of inference on one image: the largest of the blocks' peaks."""
        return max(block.peak_bytes for block in self.blocks)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """One convolution or dense layer as it was called: shapes without the batch axis."""

    path: tuple[str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    multiply_adds: int
    depthwise: bool


def count(model: nn.Module, image_size: int, channels: int = 3) -> Cost:
    """Counts `model` at square images [image_size, image_size, channels].

    Works for any network of this package: layers are observed as they are called, and grouped by the name of the
    top-level module that they belong to.
    """
    layers: list[_Layer] = []
    shortcuts: set[str] = set()

    def observe(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        module = context.module
        if context.method_name == "__call__" and module.path:
            if isinstance(module, nn.Conv | nn.Dense):
                layers.append(_observed(module, args[0], output))
            if isinstance(module, InvertedResidual) and module.has_shortcut(args[0].shape[-1]):
                shortcuts.add(module.path[0])
        return output

    image = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    with nn.intercept_methods(observe):
        variables = jax.eval_shape(lambda x: model.init({"params": jax.random.key(0)}, x, train=False), image)
    item_bytes = jnp.dtype(getattr(model, "dtype", jnp.float32)).itemsize
    names = list(dict.fromkeys(layer.path[0] for layer in layers))
    return Cost(
        tuple(
            _block_cost(
                name,
                [layer for layer in layers if layer.path[0] == name],
                name in shortcuts,
                variables,
                item_bytes,
            )
            for name in names
        )
    )


def _observed(module: nn.Conv | nn.Dense, x: Any, y: Any) -> _Layer:
    kernel_size = module.variables["params"]["kernel"].size
    positions = math.prod(y.shape[1:-1])
    depthwise = isinstance(module, nn.Conv) and module.feature_group_count > 1
    return _Layer(tuple(module.path), tuple(x.shape[1:]), tuple(y.shape[1:]), kernel_size * positions, depthwise)


def _block_cost(name: str, layers: list[_Layer], shortcut: bool, variables: Any, item_bytes: int) -> BlockCost:
    def size(collection: str) -> int:
        leaves: Any = flatten_dict(variables.get(collection, {})).items()
        return sum(math.prod(leaf.shape) for path, leaf in leaves if path[0] == name)

    kept = math.prod(layers[0].input_shape) if shortcut else 0
    output_shape = layers[-1].output_shape
    held = [
        math.prod(layer.input_shape) + math.prod(layer.output_shape) + (kept if index else 0)
        for index, layer in enumerate(layers)
    ]
    return BlockCost(
        name=name,
        output_shape=output_shape,
        expanded_channels=next((layer.output_shape[-1] for layer in layers if layer.depthwise), 0),
        parameters=size("params"),
        batch_stats=size("batch_stats"),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        output_bytes=math.prod(output_shape) * item_bytes,
        peak_bytes=max(held) * item_bytes,
    )
