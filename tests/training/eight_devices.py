"""Trains on one and on eight simulated devices, and prints how far they are apart; run by test_sharding.

eight_devices.py DATA_DIR runs `RUNS`, eight_devices.py DATA_DIR more `MORE_RUNS`.
"""

import functools
import json
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict

from benchmarks.compiled_step import exchanges
from configs import digits
from mobilenet_v2.data.prefetch import to_devices
from mobilenet_v2.data.resident import gathering
from mobilenet_v2.training import packing, sharding
from mobilenet_v2.training.setup import make_setup
from tests.models.random_networks import QUICK, images, random_variables, small
from tests.models.random_networks import distance as distance_of_trees
from tests.models.random_networks import train as train_network

MIXES = {"augment.mixup": 0.8, "augment.cutmix": 1.0, "augment.erasing": 0.5}
# What is changed of `tiny`, by name. One device normalises by groups as eight do by device.
RUNS: dict[str, dict[str, Any]] = {
    "global": {},
    "plain layers": {"model.formulation": "lax"},
    "two micro-batches, mixed": {"train.accumulation_steps": 2, **MIXES},
    "groups of a device's rows": {"parallel.batch_norm": "groups", "parallel.batch_norm_group": 4},
    "fsdp": {"parallel.parameters": "fsdp", "model.formulation": "lax"},
}
MORE_RUNS: dict[str, dict[str, Any]] = {
    "two micro-batches": {"train.accumulation_steps": 2},
    "groups of half a device's rows": {"parallel.batch_norm": "groups", "parallel.batch_norm_group": 2},
    "groups of two devices' rows": {"parallel.batch_norm": "groups", "parallel.batch_norm_group": 8},
    # Of 6 rows each.
    "groups across devices": {
        "parallel.batch_norm": "groups",
        "parallel.batch_norm_group": 16,
        "train.batch_size": 48,
    },
    "groups, two micro-batches": {
        "parallel.batch_norm": "groups",
        "parallel.batch_norm_group": 2,
        "train.accumulation_steps": 2,
    },
    "fsdp, fused": {"parallel.parameters": "fsdp"},
}


def tiny(data_dir: str, **changes: Any) -> ConfigDict:
    config = digits.get_config()
    config.model.update(width_multiplier=0.25, head_channels=32)
    config.model.stages = ((1, 8, 1, 1), (2, 8, 2, 2))
    config.data.update(data_dir=data_dir, image_size=8)
    config.train.update(batch_size=32, num_steps=3)
    # Adam would blow up what rounding leaves of a gradient that is zero.
    config.optimizer.update(name="rmsprop", learning_rate=0.045, decay=0.9, epsilon=1.0, weight_decay=4e-5)
    config.optimizer.update(warmup_epochs=0.0, schedule="constant")
    config.update_from_flattened_dict(changes)
    return config


def batches(rows: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [
        {
            "image": random.integers(0, 256, (rows, 8, 8, 3), np.uint8),
            "label": random.integers(0, 10, rows).astype(np.int32),
            "mask": (random.random(rows) > 0.1).astype(np.float32),
        }
        for _ in range(3)
    ]


def train(config: ConfigDict, mesh: Mesh) -> tuple[dict[str, Any], list[list[str]]]:
    """What three steps make of a new state; and of each exchange the step compiles to, kind and arrays."""
    setup = make_setup(config, mesh)
    state = setup.create_state()
    rng = jax.device_put(jax.random.key(1), sharding.replicated(mesh))
    rows = [jax.device_put(batch, sharding.split_rows(mesh)) for batch in batches(config.train.batch_size)]
    compiled = setup.train_step.lower(state, rows[0], rng).compile()
    text = compiled.as_text()
    losses = []
    for batch in rows:
        state, sums = compiled(state, batch, rng)
        losses.append(sums["loss"])
    tree = {"loss": losses, "params": state.params, "batch_stats": state.batch_stats, "ema": state.ema_variables}
    return jax.device_get(tree), collectives(text)


def distance(ours: np.ndarray, theirs: np.ndarray, zero: float = 1e-3) -> float:
    """‖a − b‖ / ‖b‖, where what is nearly zero counts as `zero` per element."""
    return float(np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), zero * np.size(theirs) ** 0.5))


def fused_against_plain(mesh: Mesh) -> float:
    """How far fused blocks, split over `mesh`, are from the plain layers: output, statistics, gradients; float64."""
    x = images(16, 9, 9, 3, dtype=np.float64)
    model = small(formulation="lax", dtype=np.float64)
    with jax.enable_x64(True):
        variables = random_variables(model, x, np.float64)
        plain = jax.jit(functools.partial(train_network, model), compiler_options=QUICK)(variables, x)

        def split(variables: Any, x: Any) -> Any:
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return train_network(model.clone(formulation="auto"), variables, x)

        rows = jax.device_put(x, sharding.split_rows(mesh))
        step = jax.jit(split, compiler_options=QUICK)
        assert "shard_map" in str(step.trace(variables, rows).jaxpr), "blocks did not run fused"
        return distance_of_trees(jax.device_get(step(variables, rows)), jax.device_get(plain))


def gather(data_dir: str, mesh: Mesh) -> tuple[dict[str, np.ndarray], list[list[str]]]:
    """A batch augmented on `mesh`, and what its devices exchange for it."""
    config = tiny(data_dir)
    random = np.random.default_rng(0)
    examples = to_devices(
        {"image": random.integers(0, 256, (50, 8, 8, 3), np.uint8), "label": np.arange(50, dtype=np.int32)},
        sharding.replicated(mesh),
    )
    places = {"index": random.integers(0, 50, 32).astype(np.int32), "position": np.arange(32, dtype=np.uint32)}
    rows = to_devices(places, sharding.split_rows(mesh))
    gathered = gathering(examples, config, sharding.split_rows(mesh))
    text = gathered.func.lower(examples, rows).compile().as_text()
    return jax.device_get(gathered(rows)), collectives(text)


def packs_split_arrays(mesh: Mesh) -> bool:
    """Whether what lies on several devices comes to the host whole, beside what lies on each."""
    values = np.arange(4 * mesh.size, dtype=np.float32)
    state = [
        jax.device_put(values.reshape(-1, 2), sharding.split_rows(mesh)),
        jax.device_put(values[:3], sharding.replicated(mesh)),
    ]
    return np.array_equal(packing.pack(state)["float32"], np.concatenate([values, values[:3]]))


def collectives(text: str) -> list[list[str]]:
    """Of each exchange between devices in a compiled program: its kind, then the shapes that it moves."""
    return [[kind, *(f"{dtype}[{size}]" for dtype, size in arrays)] for kind, arrays, _ in exchanges(text)]


def main(data_dir: str, more: bool) -> None:
    devices, report, states = jax.devices(), {}, {}
    for name, changes in (MORE_RUNS if more else RUNS).items():
        one, alone = train(tiny(data_dir, **changes), Mesh(devices[:1], ("data",), axis_types=(AxisType.Auto,)))
        eight, together = train(tiny(data_dir, **changes), Mesh(devices, ("data",), axis_types=(AxisType.Auto,)))
        states[name] = eight
        apart = jax.tree.leaves_with_path(jax.tree.map(distance, eight, one))
        report[name] = {
            "collectives_of_one": alone,
            "collectives_of_all": together,
            "apart": {jax.tree_util.keystr(path): value for path, value in apart},
        }
    all_devices, one_device = (Mesh(some, ("data",), axis_types=(AxisType.Auto,)) for some in (devices, devices[:1]))
    (ours, exchanged), (alone, _) = gather(data_dir, all_devices), gather(data_dir, one_device)
    summary = {
        "devices": len(devices),
        "runs": report,
        "split_as_whole": more or jax.tree.all(jax.tree.map(np.array_equal, states["fsdp"], states["plain layers"])),
        "packs_split_arrays": packs_split_arrays(all_devices),
        "fused_against_plain": fused_against_plain(all_devices),
        "gathered_alike": all(np.array_equal(ours[name], alone[name]) for name in ours),
        "collectives_of_gathering": exchanged,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main(sys.argv[1], more=len(sys.argv) > 2)
