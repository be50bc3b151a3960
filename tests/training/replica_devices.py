"""Trains four seeds side by side on simulated devices, and one after the other; run by test_replicas.

replica_devices.py DATA_DIR NAME runs what `RUNS` has by that name.
"""

import contextlib
import dataclasses
import itertools
import json
import re
import sys
from typing import Any

import jax
import numpy as np

from benchmarks.compiled_step import exchanges
from mobilenet_v2.config_singles import singles
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import replicas, sharding
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.stream import training_stream
from tests.training.eight_devices import tiny

REPLICAS, STEPS = 4, 20
MIXED = {
    "train.accumulation_steps": 2,
    "parallel.batch_norm": "per_device",
    "augment.mixup": 0.8,
    "augment.cutmix": 1.0,
    "augment.erasing": 0.5,
}
# What is changed of `tiny`, by name, and on how many devices.
RUNS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "plain": ({}, (1, 4, 8)),
    "two micro-batches, mixed": (MIXED, (4,)),
}


def train(setup: Setup) -> tuple[list[Any], Any, list[dict[str, Any]], int]:
    """Losses of each step, the last state, the exchanges of the compiled step, and the convolutions in its trace."""
    state, key = setup.create_state(), replicas.training_keys(setup.config, setup.mesh)
    with contextlib.closing(training_stream(setup)) as stream:
        batches = list(itertools.islice(stream, STEPS))
    traced = setup.train_step.trace(state, batches[0], key)
    compiled = traced.lower().compile()
    losses = []
    for batch in batches:
        state, sums = compiled(state, batch, key)
        losses.append(np.asarray(sums["loss"]).tolist())
    found = [{"kind": kind, "groups": groups(rest)} for kind, _, rest in exchanges(compiled.as_text())]
    return losses, jax.device_get(state), found, convolutions(traced)


def convolutions(traced: Any) -> int:
    """Those that are left to `lax`: in a network of fused blocks few."""
    return str(traced.jaxpr).count("conv_general_dilated[")


def groups(exchange: str) -> list[list[int]]:
    """The devices that exchange with each other, of the rest of a line of a compiled program."""
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{(\{[\d,{} ]*\})\}", exchange)
    if listed:
        return [[int(device) for device in group.split(",")] for group in re.findall(r"\{([\d, ]+)\}", listed[1])]
    counted = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", exchange)
    assert counted, exchange
    shape, sizes, order = ([int(n) for n in text.split(",")] if text else None for text in counted.groups())
    return np.arange(np.prod(sizes)).reshape(sizes).transpose(order).reshape(shape).tolist()


def main(data_dir: str, name: str) -> None:
    changes, counts = RUNS[name]
    config = tiny(data_dir, **{**changes, "train.num_steps": STEPS, "replicas": REPLICAS})
    configs = singles(config)
    alone = make_setup(configs[0], sharding.make_mesh(devices=jax.devices()[:1]))
    each = [train(dataclasses.replace(alone, config=single)) for single in configs]
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *[state for _, state, *_ in each])
    report: dict[str, Any] = {"losses": np.array([losses for losses, *_ in each]).T.tolist(), "runs": {}}
    for count in counts:
        mesh = sharding.make_mesh(REPLICAS, jax.devices()[:count])
        losses, state, exchanged, left_to_lax = train(make_setup(config, mesh))
        apart = jax.tree.map(lambda ours, theirs: float(np.abs(ours - theirs).max()), state.params, states.params)
        report["runs"][count] = {
            "mesh": dict(mesh.shape),
            "losses": losses,
            "apart": max(jax.tree.leaves(apart)),
            "exchanges": exchanged,
            "left_to_lax": left_to_lax,
            "left_to_lax_alone": each[0][-1],
        }
    config.train.batch_size = 33
    try:
        make_setup(config, sharding.make_mesh(REPLICAS, jax.devices()))
    except ConfigError as error:
        report["refused"] = str(error)
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
