"""How long one image takes on one core: in a process of its own, which is given no more than that.

    python -m mobilenet_v2.export.latency FILE FORMAT HEIGHT WIDTH CHANNELS

prints the milliseconds of each of 50 runs as JSON, after 10 that are not counted.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

from mobilenet_v2.errors import ConfigError

RUNS, _FIRST = 50, 10


def median_milliseconds(path: pathlib.Path, format_name: str, image_shape: tuple[int, int, int]) -> float:
    """The median time of one image.

    Raises:
      ConfigError: if the process fails.
    """
    command = [sys.executable, "-m", "mobilenet_v2.export.latency", os.fspath(path), format_name]
    done = subprocess.run([*command, *map(str, image_shape)], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{str(path)!r} was written, but can't be run: {done.stderr.strip().splitlines()[-1:]}")
    return statistics.median(json.loads(done.stdout.splitlines()[-1]))


def stay_on_one_core() -> None:
    """Where the system can; before any library counts cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _main(file: str, format_name: str, *image_shape: str) -> None:
    stay_on_one_core()
    from mobilenet_v2.export.formats import FORMATS

    run = FORMATS[format_name].code().load(pathlib.Path(file))
    image = np.random.default_rng(0).normal(size=(1, *map(int, image_shape))).astype(np.float32)
    milliseconds = []
    for _ in range(_FIRST + RUNS):
        start = time.perf_counter()
        run(image)
        milliseconds.append(1000 * (time.perf_counter() - start))
    print(json.dumps(milliseconds[_FIRST:]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
