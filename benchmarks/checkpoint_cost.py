"""How much slower steps are when every 50th is saved: digits, and a network of width 1 on 224-pixel images.

    python -m benchmarks.checkpoint_cost

Stretches of 50 steps take turns: before one the state is saved, as the training loop saves it, checksums included, and
written while the steps go on; before the other it is not. Which of the two is first alternates. The ratios are those
of the medians: of seconds, and of what all threads of the process have worked. The last line is one JSON object.
"""

import argparse
import json
import pathlib
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
    """Seconds of `steps` steps with a save and without, and their ratios."""
    import jax
    import numpy as np

    from mobilenet_v2.training import checkpoint

    step, state = training(case)
    manager = checkpoint.open_manager(folder, keep=2)

    def stretch(saves: bool) -> tuple[float, float]:
        begin, begin_of_work = time.perf_counter(), time.process_time()
        if saves:
            checkpoint.save(manager, state(), {"sums": {}})
        for _ in range(steps):
            step()
        taken = time.perf_counter() - begin
        checkpoint.wait(manager)  # what is left to write is work of this stretch, and no part of the next
        return taken, time.process_time() - begin_of_work

    stretch(saves=True)
    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for index in range(rounds):
        for saves in (index % 2 == 0, index % 2 == 1):
            taken[saves].append(stretch(saves))
    manager.close()
    saved, bare = (np.array(taken[saves]) for saves in (True, False))
    (seconds, work), (bare_seconds, bare_work) = np.median(saved, axis=0), np.median(bare, axis=0)
    return {
        "seconds_with_a_save": round(seconds, 3),
        "seconds_without": round(bare_seconds, 3),
        "ratio": round(seconds / bare_seconds, 4),
        "ratio_of_work": round(work / bare_work, 4),
        "ratios": np.round(saved[:, 0] / bare[:, 0], 4).tolist(),
        "megabytes": round(sum(leaf.nbytes for leaf in jax.tree.leaves(state())) / 1e6, 1),
    }


def main() -> None:
    """Measures each case, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
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
