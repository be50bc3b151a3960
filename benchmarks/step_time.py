"""Times training and inference side by side with PyTorch and with stock Linen layers.

    pip install torch --index-url https://download.pytorch.org/whl/cpu    # without it: ours and stock only
    python -m benchmarks.step_time                       # one process each, all pinned to one core
    python -m benchmarks.step_time --cores=2             # … each on two cores
    python -m benchmarks.step_time --only=train_64       # some of the cases
    python -m benchmarks.step_time --device=gpu          # ours in bfloat16 against PyTorch in mixed precision

Every contestant is a process of its own and takes its steps in turn with the others; a ratio is the median over
rounds of the quotient within a round. The last line is one JSON object. "torch" is the better of eager channels_last
and torch.compile as a user starts it; "torch_fast_malloc" the better of both with the malloc that our commands load
(`mobilenet_v2/process.py`). "ours_split" is ours with one CPU device a core and the batch split over them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

from mobilenet_v2 import process

CASES = {
    "train_32": ("train", 32, 128, 0.5),
    "train_64": ("train", 64, 128, 0.35),
    "train_224": ("train", 224, 32, 1.0),
    "infer_32": ("infer", 32, 128, 0.5),
    "infer_64": ("infer", 64, 128, 0.35),
    "infer_224": ("infer", 224, 32, 1.0),
}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "ours": {"fast_malloc": True},
    "ours_split": {"fast_malloc": True, "split": True},
    "ours_default_malloc": {},
    "ours_unfused": {"formulation": "shifted", "fast_malloc": True},
    "torch_eager": {"compiled": False},
    "torch_compile": {"compiled": True},
    "torch_eager_fast_malloc": {"compiled": False, "fast_malloc": True},
    "torch_compile_fast_malloc": {"compiled": True, "fast_malloc": True},
    "stock": {"stock": True},
}


class Worker:
    """A contestant in its own process, which takes as many steps as it is told to and says how long they took."""

    def __init__(self, case: tuple[str, int, int, float], options: dict[str, Any], cores: int, device: str):
        arguments = dict(options)
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("LD_PRELOAD", "MALLOC_", "MIMALLOC_"))}
        if arguments.pop("fast_malloc", False):
            environment |= process.fast_malloc()
        if arguments.pop("split", False):
            environment["JAX_NUM_CPU_DEVICES"] = str(cores or len(os.sched_getaffinity(0)))
        task = json.dumps({"case": case, "arguments": arguments, "cores": cores, "device": device})
        command = [sys.executable, "-m", "benchmarks.step_time", "--worker", task]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.failed = self._read() is None

    def seconds_per_step(self, steps: int) -> float:
        """Takes `steps` steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = self._read()
        if answer is None:
            raise RuntimeError("a contestant's process ended in the middle; its error stands above")
        return float(answer)

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> str | None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                return line[1:]
        return None


def work(task: dict[str, Any]) -> None:
    """What a worker's process does: prepares a step, then answers each number on stdin with seconds a step."""
    cores, device, arguments = task["cores"], task["device"], task["arguments"]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-cores:]))
    from benchmarks import contestants

    if "compiled" in arguments:
        place = "cuda" if device == "gpu" else "cpu"
        step = contestants.torch_net(*task["case"], **arguments, device=place, threads=cores or os.cpu_count() or 1)
    else:
        step = contestants.ours(*task["case"], **arguments, dtype="bfloat16" if device == "gpu" else "float32")
    for _ in range(2):
        step()
    print("@ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(f"@{(time.perf_counter() - started) / int(line)}", flush=True)


def measure(name: str, contestants: list[str], rounds: int, cores: int, device: str) -> dict[str, Any]:
    """Median seconds of every contestant of one case, and the medians of our ratios to them."""
    workers = {}
    for contestant in contestants:
        worker = Worker(CASES[name], CONTESTANTS[contestant], cores, device)
        if worker.failed:
            print(f"{name}: {contestant} did not start", file=sys.stderr)
            worker.end()
        else:
            workers[contestant] = worker
    try:
        turns = take_turns(workers, rounds)
    finally:
        for worker in workers.values():
            worker.end()
    if "ours" not in workers:
        raise RuntimeError(f"{name}: ours did not start; its error stands above")
    result: dict[str, Any] = {"seconds": {who: statistics.median(t[who] for t in turns) for who in workers}}
    for other in ("ours_split", "ours_default_malloc"):
        if other in workers:
            result[f"{other}_to_ours"] = round(statistics.median(t[other] / t["ours"] for t in turns), 3)
    groups = {
        "torch": ("torch_eager", "torch_compile"),
        "torch_fast_malloc": ("torch_eager_fast_malloc", "torch_compile_fast_malloc"),
        "stock": ("stock",),
    }
    for group, members in groups.items():
        present = [who for who in members if who in workers]
        if present:
            best = min(present, key=lambda who: result["seconds"][who])
            result[f"ratio_to_{group}"] = round(statistics.median(t["ours"] / t[best] for t in turns), 3)
    print(name, json.dumps(result), flush=True)
    return result


def take_turns(workers: dict[str, Worker], rounds: int) -> list[dict[str, float]]:
    """Seconds a step of each in every round; a turn takes about half a second, or one step."""
    steps = {who: max(1, min(50, int(0.5 / worker.seconds_per_step(1)))) for who, worker in workers.items()}
    return [{who: worker.seconds_per_step(steps[who]) for who, worker in workers.items()} for _ in range(rounds)]


def machine(cores: int, device: str) -> dict[str, Any]:
    """What the figures hold for."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str | None] = {}
    for package in ("jax", "flax", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    try:
        with open("/proc/cpuinfo") as lines:
            cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {"cpu": cpu, "cores": cores, "device": device, "python": platform.python_version(), **versions}


def main() -> None:
    """Reads the flags and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of cases, separated by commas", default=",".join(CASES))
    parser.add_argument("--against", help="names of contestants, of which ours is one", default=",".join(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=1, help="that each process is pinned to; 0: not pinned")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        work(json.loads(flags.worker))
        return
    names, contestants = flags.only.split(","), list(dict.fromkeys(["ours", *flags.against.split(",")]))
    for given, known in ((names, CASES), (contestants, CONTESTANTS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"no {unknown[0]!r}; there are {', '.join(known)}")
    if flags.device != "cpu" or flags.cores == 1:
        contestants = [name for name in contestants if name != "ours_split"]  # the same as ours
    if not process.fast_malloc():
        print("mimalloc is not installed: every contestant has the malloc of the system", file=sys.stderr)
    results = {name: measure(name, contestants, flags.rounds, flags.cores, flags.device) for name in names}
    print(json.dumps({"machine": machine(flags.cores, flags.device), "results": results}))


if __name__ == "__main__":
    main()
