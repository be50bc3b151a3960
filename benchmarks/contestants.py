"""What is timed: our step, the same net from stock Linen layers, PyTorch. Each is a function that takes one step."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], None]


def images_and_labels(size: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [B, size, size, 3] and labels below 1000, always the same."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, 3), np.uint8)
    return images, random.integers(0, 1000, batch, np.int32)


def ours(
    mode: str, size: int, batch: int, width: float, *, stock: bool = False, dtype: str = "float32", **fields: Any
) -> Step:
    """A train step as `train.py` takes it (SGD with momentum), or logits of uint8 images with batch norm folded.

    Args:
      mode: "train" or "infer".
      stock: plain `nn.Conv` and `nn.BatchNorm` as Flax has them, without our formulations and without folding.
      dtype: of the computation.
      fields: of `config.model`.
    """
    import jax
    import jax.numpy as jnp

    from mobilenet_v2.models.folding import fold_batch_norm
    from mobilenet_v2.training import sharding
    from mobilenet_v2.training.setup import compiler_options, within
    from mobilenet_v2.training.steps import normalize

    config = _config(size, batch, width, {**fields, "dtype": dtype} | ({"formulation": "lax"} if stock else {}))
    mesh = sharding.make_mesh()
    options = {} if stock else compiler_options(mesh, config)
    train, state, model = _training(config, mesh, options)
    images, labels = images_and_labels(size, batch)
    device_batch = {"image": jnp.asarray(images), "label": jnp.asarray(labels), "mask": jnp.ones(batch)}
    device_batch = jax.device_put(device_batch, sharding.split_rows(mesh))
    if mode == "train":
        key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))
        held = [state]

        def step() -> None:
            held[0], metrics = train(held[0], device_batch, key)
            jax.block_until_ready(metrics)

        return step
    variables = state.variables
    if not stock:
        model, variables = fold_batch_norm(model, variables)

    @functools.partial(jax.jit, compiler_options=options)
    def compiled(variables: Any, images: Any) -> Any:
        return within(mesh, model.apply)(variables, normalize(images, config), train=False)

    return lambda: jax.block_until_ready(compiled(variables, device_batch["image"]))


def torch_net(
    mode: str, size: int, batch: int, width: float, *, compiled: bool, device: str = "cpu", threads: int = 1
) -> Step:
    """The same in PyTorch, channels last; on a GPU in automatic mixed precision, as timm trains."""
    import torch

    from benchmarks.torch_mobilenet_v2 import MobileNetV2

    torch.set_num_threads(threads)
    net: Any = MobileNetV2(width)
    net = net.to(device, memory_format=torch.channels_last)
    images, labels = images_and_labels(size, batch)
    x = torch.tensor(images, device=device).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = torch.tensor(labels.astype(np.int64), device=device)
    forward = torch.compile(net) if compiled else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=4e-5)
    amp = torch.autocast(device, torch.bfloat16, enabled=device != "cpu")
    net.train(mode == "train")

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with amp:
            loss = torch.nn.functional.cross_entropy(forward((x.float() / 255 - 0.5) / 0.5), y)
        loss.backward()
        optimizer.step()
        loss.item()

    def infer() -> None:
        with torch.inference_mode(), amp:
            forward((x.float() / 255 - 0.5) / 0.5).sum().item()

    return train if mode == "train" else infer


def train_step_memory(size: int, batch: int, width: float, **fields: Any) -> dict[str, int]:
    """Bytes of our train step as the compiled program's own analysis counts them."""
    import jax

    from mobilenet_v2.training import sharding
    from mobilenet_v2.training.setup import compiler_options

    config, mesh = _config(size, batch, width, fields), sharding.make_mesh()
    train, state, _ = _training(config, mesh, compiler_options(mesh, config))
    images, labels = images_and_labels(size, batch)
    device_batch = {"image": images, "label": labels, "mask": np.ones(batch, np.float32)}
    analysis: Any = train.lower(state, device_batch, jax.random.key(0)).compile().memory_analysis()
    held = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    # Not `peak_memory_in_bytes`, which for a CPU leaves the temporaries out.
    return {"peak_bytes": held + analysis.temp_size_in_bytes, "temporary_bytes": analysis.temp_size_in_bytes}


def _training(config: Any, mesh: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(jitted train step, its state, the network)."""
    from mobilenet_v2.models.build import build_model
    from mobilenet_v2.training import sharding
    from mobilenet_v2.training.optimizer import make_optimizer
    from mobilenet_v2.training.setup import jit_steps
    from mobilenet_v2.training.state import create_state

    model, optimizer = build_model(config.model), make_optimizer(config, lambda step: 0.01)
    state = create_state(
        model,
        optimizer,
        seed=0,
        image_size=config.data.image_size,
        ema=config.optimizer.ema_decay > 0,
        place=lambda shapes: sharding.replicated(mesh),
    )
    return jit_steps(config, model, optimizer, mesh, options)[0], state, model


def _config(size: int, batch: int, width: float, fields: dict[str, Any]) -> Any:
    from configs import default

    config = default.get_config()
    config.data.image_size, config.train.batch_size = size, batch
    config.model.update(
        width_multiplier=width, padding="symmetric", batch_norm_epsilon=1e-5, batch_norm_momentum=0.9, **fields
    )
    config.optimizer.update(name="sgd", ema_decay=0.0)
    return config
