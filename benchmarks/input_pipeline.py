"""Images a second from encoded records to uint8 batches of 224-pixel random-resized crops, against other loaders.

    pip download --no-deps foolbox==3.3.4 && unzip foolbox-*.whl -d photographs    # 20 pictures of ImageNet
    python -m benchmarks.input_pipeline --photographs=photographs \\
        --tensorflow_python=ENV/bin/python --torch_python=ENV/bin/python
    python -m benchmarks.input_pipeline --config=configs/digits.py    # does the loader or the step limit a run?

TensorFlow and torch live in environments of their own, named by their interpreters; what is not named is left out.
Every loader is a process of its own, reads the same JPEGs, cuts the same rectangles, and takes turns with the others.
The last line is one JSON object. A figure is in images per CPU second, all threads counted, each process pinned to the
same core; a ratio is ours to theirs, the median over rounds of the quotient within a round. `all_cores` has images a
second of wall time. "linear" averages nothing where it shrinks, as tf.data's `resize`; "area" does, as Pillow's.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks import photographs
from benchmarks.step_time import machine
from mobilenet_v2 import process
from mobilenet_v2.errors import nearest

REPOSITORY = pathlib.Path(__file__).parents[1]


class Loader:
    """A contestant in its own process."""

    def __init__(self, python: str, task: dict[str, Any]):
        command, pipe = [python, "-m", "benchmarks.input_contestants", json.dumps(task)], subprocess.PIPE
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.versions = self._read()

    def take(self, untimed: int, timed: int) -> dict[str, float]:
        """Images a second by each clock, "cpu" and "wall"."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{untimed} {timed}\n")
        self._process.stdin.flush()
        answer = self._read()
        if answer is None:
            raise RuntimeError("a loader's process ended in the middle; its error stands above")
        return answer

    def end(self) -> None:
        """Lets the process end by itself, and waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        return None


def measure(contestants: dict[str, tuple[str, dict[str, Any]]], rounds: int, batches: int, clock: str) -> Any:
    """({loader: images a second in each round}, versions) by CPU time or wall time."""
    loaders: dict[str, Loader] = {}
    try:
        for name, (python, task) in contestants.items():
            loaders[name] = Loader(python, task)
            if loaders[name].versions is None:
                print(f"{name} did not start and is left out; its error stands above", file=sys.stderr)
                loaders.pop(name).end()
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(rounds):
            for name, loader in loaders.items():
                # What was read ahead, while others had their turn, tells nothing of speed.
                rates[name].append(loader.take(16 if clock == "wall" else 0, batches)[clock])
    finally:
        for loader in loaders.values():
            loader.end()
    versions: dict[str, str] = {}
    for loader in loaders.values():
        versions |= loader.versions or {}
    return rates, versions


def compare(flags: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """The figures of one core, and of all."""
    cores = sorted(os.sched_getaffinity(0))
    pythons = {"tf_data": flags.tensorflow_python, "torch": flags.torch_python}
    for name in [name for name, python in pythons.items() if python is None]:
        print(f"{name} is left out: --{'tensorflow' if name == 'tf_data' else 'torch'}_python is not given")
        del pythons[name]

    def task(loader: str, pinned: list[int], **arguments: Any) -> tuple[str, dict[str, Any]]:
        python = pythons.get(loader, sys.executable)
        return python, {"loader": loader, "folder": str(folder), "cores": pinned, "arguments": arguments}

    one = cores[-1:]
    alone = {
        "ours": task("ours", one),
        "ours_area": task("ours", one, interpolation="area"),
        "bare_loop": task("bare_loop", one),
        **{name: task(name, one) for name in pythons},
    }
    rates, versions = measure(alone, flags.rounds, flags.batches, "cpu")
    results: dict[str, Any] = {}
    for name, values in rates.items():
        results[name] = {"images_per_cpu_second": round(statistics.median(values), 1)}
        for key, of in (("ratio", "ours"), ("ratio_area", "ours_area")):
            if not name.startswith("ours"):
                quotients = [mine / theirs for mine, theirs in zip(rates[of], values, strict=True)]
                results[name][key] = round(statistics.median(quotients), 3)
        print(name, json.dumps(results[name]), flush=True)
    count, together = len(cores), {}
    together["ours_threads"] = task("ours", cores, threads=count)
    together["ours_workers"] = task("ours", cores, workers=count)
    more = {"tf_data": {"threads": count}, "torch": {"workers": count}}
    together |= {name: task(name, cores, **more[name]) for name in pythons}
    rates, _ = measure(together, flags.rounds, flags.batches, "wall")
    walls = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    return {"results": results, "all_cores": walls, "versions": versions}


def compare_with_step(argv: list[str], rounds: int) -> None:
    """Prints what loader and train step of the config in `argv` do; raises UserError if something is wrong with it."""
    import jax

    from benchmarks.loader_and_step import measure_config
    from mobilenet_v2 import command_line

    config = command_line.parse(argv, __doc__ or "", required=["config"]).config
    results = measure_config(config, rounds)
    facts = machine(process.cores(), jax.devices()[0].platform)
    print(json.dumps({"unit": "images per second", "results": {"config": results}, "machine": facts}))


def main() -> None:
    """Reads the flags, makes the pictures, and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--photographs", type=pathlib.Path, help="a folder of JPEGs; else scikit-learn's two")
    parser.add_argument("--tensorflow_python", help="interpreter of an environment with TensorFlow")
    parser.add_argument("--torch_python", help="interpreter of an environment with torch and Pillow")
    parser.add_argument("--images", type=int, default=600, help="pictures to make")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=20, help="of 32 images, in each turn")
    parser.add_argument(
        "--config", help="measure the loader and the train step of this config instead, also with --config.FIELD=VALUE"
    )
    flags, overrides = parser.parse_known_args()
    for name in ("images", "rounds", "batches"):
        if getattr(flags, name) < 1:
            parser.error(f"--{name} is {getattr(flags, name)}, must be at least 1")
    if flags.config:
        sys.exit(
            process.execute(
                lambda argv: compare_with_step(argv, flags.rounds),
                [parser.prog, f"--config={flags.config}", *overrides],
            )
        )
    if overrides:
        hint = nearest(overrides[0].partition("=")[0], [f"--{name}" for name in vars(flags)])
        parser.error(f"unexpected argument {overrides[0]!r}{hint}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        photographs.make(folder, flags.photographs, flags.images)
        sizes = [path.stat().st_size for path in (folder / "images").iterdir()]
        measured = compare(flags, folder)
    facts = {"unit": "images per CPU second; ratio = ours / theirs", "mean_bytes": round(statistics.mean(sizes))}
    print(json.dumps({**measured, **facts, "machine": machine(1, "cpu")}))


if __name__ == "__main__":
    main()
