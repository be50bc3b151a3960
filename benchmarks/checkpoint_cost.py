"""How much slower steps are when every 50th is saved: digits, and a network of width 1 on 224-pixel images.

    python -m benchmarks.checkpoint_cost

Stretches of 50 steps take turns: before one the state is saved, as the training loop saves it, checksums included, and
written while the steps go on; before the other it is not. A ratio is the median over rounds of the quotient within a
round. The last line is one JSON object.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from mobilenet_v2 import process

CASES = ("digits", "224_pixels")


def training(case: str) -> tuple[Callable[[], None], Callable[[], Any]]:
    """What takes a step, and what tells the state; as the config has them, but without its data."""
    import jax

    from benchmarks.compiled_step import step_without_data
    from configs import default, digits
    from mobilenet_v2.data.random_batch import random_batch
    from mobilenet_v2.training import sharding
    from mobilenet_v2.training.setup import state_arguments
    from mobilenet_v2.training.state import create_state

    config = digits.get_config() if case == "digits" else default.get_config()
    config.train.batch_size = 32 if case == "digits" else 8
    mesh = sharding.make_mesh()
    train, network = step_without_data(config, mesh)
    held = [create_state(*network, **state_arguments(config, mesh))]
    batch = jax.device_put(random_batch(config), sharding.split_rows(mesh))
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))

    def step() -> None:
        held[0], metrics = train(held[0], batch, key)
        jax.block_until_ready(metrics)

    return step, lambda: held[0]


def measure(case: str, rounds: int, steps: int, folder: pathlib.Path) -> dict[str, Any]:
    """Seconds of `steps` steps with a save and without, and their ratio."""
    import jax

    from mobilenet_v2.training import checkpoint

    step, state = training(case)
    manager = checkpoint.open_manager(folder, keep=2)

    def stretch(saves: bool) -> float:
        begin = time.perf_counter()
        if saves:
            checkpoint.save(manager, state(), {"sums": {}})
        for _ in range(steps):
            step()
        taken = time.perf_counter() - begin
        checkpoint.wait(manager)  # what is left to write is no part of the next stretch
        return taken

    stretch(saves=True)
    pairs = []
    for index in range(rounds):
        taken = {saves: stretch(saves) for saves in (index % 2 == 0, index % 2 == 1)}
        pairs.append((taken[True], taken[False]))
    manager.close()
    return {
        "seconds_with_a_save": round(statistics.median(saved for saved, _ in pairs), 3),
        "seconds_without": round(statistics.median(bare for _, bare in pairs), 3),
        "ratio": round(statistics.median(saved / bare for saved, bare in pairs), 4),
        "ratios": [round(saved / bare, 4) for saved, bare in pairs],
        "megabytes": round(sum(leaf.nbytes for leaf in jax.tree.leaves(state())) / 1e6, 1),
    }


def main() -> None:
    """Measures each case, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=50, help="between two saves")
    parser.add_argument("--only", choices=CASES, help="one of the cases")
    flags = parser.parse_args()
    results = {}
    for name in [flags.only] if flags.only else CASES:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(name, flags.rounds, flags.steps, pathlib.Path(folder))
        print(name, json.dumps(results[name]), flush=True)
    from benchmarks.step_time import machine

    print(json.dumps({"machine": machine(process.cores(), "cpu"), "results": results}))


if __name__ == "__main__":
    process.restart_on_fast_malloc()
    main()
