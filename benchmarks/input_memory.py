"""Resident memory of the input pipeline alone over many steps: with threads, and with worker processes.

    python -m benchmarks.input_memory                # 20,000 steps of 8 digits each

The last line is one JSON object: megabytes of this process, and of its workers together, at even distances; `growth` is
from a quarter of the way on, when every buffer has been full, to the end.
"""

import argparse
import contextlib
import json
import multiprocessing
import pathlib
import sys
import time
from typing import Any

from benchmarks.step_time import machine
from mobilenet_v2 import process

if __name__ == "__mp_main__":
    process.be_a_data_worker()


def measure(source: Any, threads: int, workers: int, steps: int) -> dict[str, Any]:
    """Reads `steps` batches and looks at the memory twenty times."""
    from configs import digits
    from mobilenet_v2.data.pipeline import training_batches
    from mobilenet_v2.data.workers import read

    config = digits.get_config()
    config.train.batch_size = 8
    config.data.update(num_threads=threads, num_workers=workers)
    here, there = [], []
    started = time.monotonic()
    with contextlib.closing(read(training_batches(source, config))) as batches:
        for step in range(1, steps + 1):
            next(batches)
            if step % (steps // 20) == 0:
                here.append(_megabytes("self"))
                there.append(sum(_megabytes(str(child.pid)) for child in multiprocessing.active_children()))
    seconds = time.monotonic() - started
    result = {"process": here, "workers": there, "growth": round(here[-1] - here[4], 1)}
    return {**result, "growth_of_workers": round(there[-1] - there[4], 1), "seconds": round(seconds, 1)}


def _megabytes(pid: str) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(resident.split()[1]) / 1024, 1)


def main() -> None:
    """Measures, and prints what it measured."""
    from mobilenet_v2.data.sources import open_dataset

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    steps = parser.parse_args().steps
    source = open_dataset("digits").split("train")
    results = {}
    for name, threads, workers in (("threads", 2, 0), ("workers", 0, 2)):
        results[name] = measure(source, threads, workers, steps)
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    print(json.dumps({"machine": machine(process.cores(), "cpu"), "steps": steps, "results": results}))


if __name__ == "__main__":
    main()
