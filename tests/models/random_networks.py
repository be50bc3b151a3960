from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage

# Unoptimised, for where it is compiling that takes the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# A block without expansion, one with a shortcut, and two strides.
STAGES = (Stage(1, 8, 1, 1), Stage(3, 8, 2, 1), Stage(2, 16, 1, 2))


def small(**fields: Any) -> MobileNetV2:
    defaults = {"num_classes": 5, "stem_channels": 8, "head_channels": 16, "stages": STAGES, "dropout_rate": 0.0}
    return MobileNetV2(**{**defaults, **fields})


def images(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


def random_variables(module: Any, x: Any, dtype: Any = np.float32) -> Any:
    """Variables of which none is neutral: relu6 clips a part of what they make at 0 and another at 6."""
    random = np.random.default_rng(2)

    def draw(path: Any, leaf: Any) -> np.ndarray:
        name = path[-1].key
        if name in ("scale", "var"):
            low, high = (1.0, 4.0) if name == "scale" else (0.5, 2.0)
            return random.uniform(low, high, leaf.shape).astype(dtype)
        if name == "bias":
            return random.normal(2.0, 2.0, leaf.shape).astype(dtype)
        fan_in = np.prod(leaf.shape[:-1]) if name == "kernel" else 4.0
        return (random.normal(size=leaf.shape) / np.sqrt(fan_in)).astype(dtype)

    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(x), train=False))
    return jax.tree.map_with_path(draw, shapes)


def train(module: Any, variables: Any, x: Any) -> tuple[jax.Array, Any, Any]:
    """Output in training, `batch_stats` after it, and gradients of a weighted sum of the output in (params, x)."""
    stats = {"batch_stats": variables["batch_stats"]}

    def apply(params: Any, x: Any) -> Any:
        y, updated = module.apply({"params": params, **stats}, x, train=True, mutable=["batch_stats"])
        return y, updated["batch_stats"]

    y, transpose, updated = jax.vjp(apply, variables["params"], jnp.asarray(x), has_aux=True)
    weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return y, updated, transpose(weights)


def distance(ours: Any, reference: Any) -> float:
    """‖ours − reference‖ / ‖reference‖, over all leaves together; absolute where the reference all but vanishes."""
    assert jax.tree.structure(ours) == jax.tree.structure(reference)
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(reference), strict=True))
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    difference = np.sqrt(sum(np.sum(np.square(np.asarray(a) - np.asarray(b))) for a, b in pairs))
    return float(difference / max(np.sqrt(sum(np.sum(np.square(np.asarray(b))) for _, b in pairs)), 1e-3))
