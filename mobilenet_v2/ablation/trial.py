"""How long a step of a config takes here: `python -m mobilenet_v2.ablation.trial --config=FILE` prints seconds.

A process of its own, so that whoever asks holds no accelerator. What it compiles is kept, and the first run has it.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence

from ml_collections import ConfigDict

from mobilenet_v2 import process

_STEPS = 5


def main(argv: Sequence[str]) -> None:
    """Flags in, a line with the seconds of a step out."""
    from mobilenet_v2 import command_line

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    print(seconds_per_step(command_line.parse(argv, __doc__ or "", required=["config"]).config))


def seconds_per_step(config: ConfigDict) -> float:
    """The median of a few, compilation and data not counted."""
    import jax

    from mobilenet_v2.data.random_batch import random_batch
    from mobilenet_v2.training.replicas import batch_sharding, training_keys
    from mobilenet_v2.training.setup import make_setup

    setup = make_setup(config)
    batch = jax.device_put(random_batch(config), batch_sharding(config, setup.mesh))
    key = training_keys(config, setup.mesh)
    state, seconds = setup.create_state(), []
    for _ in range(_STEPS + 1):
        begin = time.perf_counter()
        state, metrics = setup.train_step(state, batch, key)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def _end_with_parent(parent: int) -> None:
    """Whoever asked may be told to stop while this compiles, which takes minutes."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    process.restart_on_fast_malloc()
    sys.exit(process.execute(main, sys.argv))
