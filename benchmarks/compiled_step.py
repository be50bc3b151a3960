"""One train step, compiled for some devices: what it exchanges, computes and holds. Run by `benchmarks.scaling`."""

import json
import math
import re
import sys
import time
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict

from mobilenet_v2 import command_line
from mobilenet_v2.config import validate, validate_topology
from mobilenet_v2.data.random_batch import random_batch
from mobilenet_v2.errors import ConfigError, UserError
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.over_devices import BATCH_AXIS
from mobilenet_v2.training import sharding
from mobilenet_v2.training.optimizer import make_optimizer, make_schedule
from mobilenet_v2.training.setup import compiler_options, jit_steps, state_arguments
from mobilenet_v2.training.state import abstract_state, create_state

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1, "u8": 1, "s8": 1}
_STEPS = 20


def exchanges(text: str) -> list[tuple[str, list[tuple[str, str]], str]]:
    """Of each exchange in a compiled program, in its order: kind, (dtype, "3,3,8") of each array, rest of the line."""
    found = re.findall(rf"= (\(?[a-z(].*?) ({'|'.join(KINDS)})(-start)?\((.*)", text)
    return [(kind, _results(kind, bool(start), arrays), rest) for arrays, kind, start, rest in found]


def _results(kind: str, starts: bool, text: str) -> list[tuple[str, str]]:
    """What an exchange gives; one that goes on beside the computation is written with what it was given before that."""
    arrays = re.findall(r"\b(\w+)\[([\d,]*)\]", text)
    if starts and kind != "all-reduce":
        arrays = [array for array in arrays if array != ("u32", "")]  # a permutation's own notes
        arrays = arrays[len(arrays) // 2 :]
    return arrays


def collectives(text: str, micro_batches: int = 1) -> list[dict[str, Any]]:
    """Of each exchange in a compiled program, in its order: kind, number of arrays, bytes together, times in a step."""
    return [
        {
            "kind": kind,
            "arrays": len(arrays),
            "bytes": sum(_BYTES[dtype] * math.prod(map(int, filter(None, size.split(",")))) for dtype, size in arrays),
            "times": micro_batches if "/while/body/" in rest else 1,
        }
        for kind, arrays, rest in exchanges(text)
    ]


def cost(overrides: list[str], devices: int, batch_norm: str, scaling: str, measure: bool) -> dict[str, Any]:
    """See `benchmarks.scaling`.

    Raises:
      ConfigError: if the config is wrong, or there are too few devices.
    """
    if len(jax.devices()) < devices:
        raise ConfigError(f"--devices has {devices}, must be at most {len(jax.devices())}, the devices that there are")
    config = _config(overrides, devices, batch_norm, scaling)
    mesh = Mesh(np.array(jax.devices()[:devices]), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    train, network = step_without_data(config, mesh)
    state = abstract_state(*network, **state_arguments(config, mesh))
    batch, key = random_batch(config), jax.random.key(0)
    step = train.lower(state, batch, key).compile()
    analysis, memory = step.cost_analysis(), step.memory_analysis()
    # XLA counts the body of a loop once. All but the optimizer's few operations lie in that over micro-batches.
    micro_batches = config.train.accumulation_steps
    result = {
        "batch": config.train.batch_size,
        "collectives": collectives(step.as_text(), micro_batches),
        "flops_per_device": analysis["flops"] * micro_batches,
        "bytes_accessed_per_device": analysis["bytes accessed"] * micro_batches,
        "temporary_bytes_per_device": memory.temp_size_in_bytes,
        "device": jax.devices()[0].device_kind,
    }
    if measure:
        begun = create_state(*network, **state_arguments(config, mesh))
        rows = jax.device_put(batch, sharding.split_rows(mesh))
        placed_key = jax.device_put(key, sharding.replicated(mesh))
        result["images_per_second"] = config.train.batch_size / _seconds(step, begun, rows, placed_key)
    return result


def step_without_data(config: ConfigDict, mesh: Mesh) -> tuple[Any, tuple[nn.Module, optax.GradientTransformation]]:
    """The jitted train step of a config, and the network and optimizer that make its state, as 1000 steps would be."""
    model = build_model(config.model)
    optimizer = make_optimizer(config, make_schedule(config, 1000, 100.0))
    return jit_steps(config, model, optimizer, mesh, compiler_options(mesh, config))[0], (model, optimizer)


def _config(overrides: list[str], devices: int, batch_norm: str, scaling: str) -> ConfigDict:
    config = command_line.parse(["benchmarks.scaling", *overrides], __doc__ or "", required=["config"]).config
    if scaling == "weak":
        config.train.batch_size *= devices
    config.model.formulation = "lax"
    config.parallel.batch_norm = batch_norm
    validate(config)
    validate_topology(config, devices, 1)
    return config


def _seconds(step: Any, state: Any, batch: Any, key: Any) -> float:
    """The median of some steps, after one that warms up."""
    seconds = []
    for _ in range(_STEPS + 1):
        begin = time.perf_counter()
        state, metrics = step(state, batch, key)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    try:
        print(json.dumps(cost(*json.loads(sys.argv[1]))))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
