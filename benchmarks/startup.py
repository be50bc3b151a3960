"""Seconds from the command to the first training step of the digits, with an empty compilation cache and a full one.

    python -m benchmarks.startup

Runs `train.py` for two steps, several times, in a folder of its own, the data set being prepared before; the last line
is one JSON object. `cold_step_1` and `warm_step_1` end when the row of the first step stands in `metrics.jsonl`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).parents[1]
IMPORTS = {
    "import_jax": "import jax",
    "import_flax": "from flax import linen",
    "import_training": "from mobilenet_v2.training import loop",
}


def seconds_to_first_step(folder: pathlib.Path, name: str) -> float:
    """Starts a run and waits for the row of its first step."""
    workdir = folder / name
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    flags = ["--config.train.num_steps=2", "--config.train.log_every=1", "--config.optimizer.warmup_epochs=0.0"]
    command = [sys.executable, "train.py", "--config=configs/digits.py", f"--workdir={workdir}", *flags]
    started = time.monotonic()
    with subprocess.Popen(
        [*command, f"--config.data.data_dir={folder / 'data'}"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as process:
        rows = workdir / "metrics.jsonl"
        while not (rows.exists() and '"train"' in rows.read_text()):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode} before its first step")
            time.sleep(0.02)
        seconds = time.monotonic() - started
        process.wait()
    return seconds


def seconds_of(statement: str, repeats: int) -> float:
    """Median of starting Python and running one statement."""
    times = []
    for _ in range(repeats):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", statement], cwd=REPOSITORY, check=True)
        times.append(time.monotonic() - started)
    return statistics.median(times)


def main() -> None:
    """Measures, and prints what it measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="of every figure but the cold start")
    repeats = parser.parse_args().repeats
    results = {name: round(seconds_of(statement, repeats), 2) for name, statement in IMPORTS.items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        prepare = (
            f"from mobilenet_v2.data.sources import open_dataset; open_dataset('digits', {str(folder / 'data')!r})"
        )
        subprocess.run([sys.executable, "-c", prepare], cwd=REPOSITORY, check=True)
        results["cold_step_1"] = round(seconds_to_first_step(folder, "cold"), 2)
        warm = [seconds_to_first_step(folder, f"warm_{repeat}") for repeat in range(repeats)]
        results["warm_step_1"] = round(statistics.median(warm), 2)
    print(json.dumps({"cores": os.cpu_count(), "python": sys.version.split()[0], "seconds": results}))


if __name__ == "__main__":
    main()
