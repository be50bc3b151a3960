"""What a train step costs on many devices, as compiled; and, by a plain model, how well that scales.

    python -m benchmarks.scaling --config=configs/imagenet.py
    python -m benchmarks.scaling --config=configs/imagenet.py --batch_norm=global,per_device --hardware=tpu_v5e
    python -m benchmarks.scaling --config=configs/digits.py --measure    # runs it, on the devices that there are
    python -m benchmarks.scaling --config=configs/digits.py --batch_norm=groups --config.parallel.batch_norm_group=8

The step is compiled for 1, 2, 4, 8, … simulated CPU devices with the layers that accelerators run. XLA's partitioner
says what each device exchanges and computes; that does not depend on what a device is. "weak": each device has the
config's batch; "strong": they share it. The model adds what it takes to compute, at a utilisation that you state, to
exchanges that come one after the other while nothing is computed: an efficiency to be exceeded. Fields of the config
are overridden as train.py's are. To compile MobileNetV2 for 8 devices takes a minute or two; `--devices=1,8
--scaling=weak` is a quick look. The last line is one JSON object.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from typing import Any, NamedTuple

MODES = ("global", "per_device", "groups")


class Hardware(NamedTuple):
    """A device, and the slowest link between several.

    Attributes:
      flops: peak floating-point operations a second in bfloat16, dense.
      bandwidth: bytes a second, in each direction.
      latency: seconds a turn.
    """

    flops: float
    bandwidth: float
    latency: float


# Peaks and bandwidths are the vendors' data sheets'; latencies are round figures of what small collectives take.
HARDWARE = {
    "a100_nvlink": Hardware(312e12, 300e9, 3e-6),
    "h100_nvlink": Hardware(989e12, 450e9, 3e-6),
    "h100_infiniband": Hardware(989e12, 50e9, 6e-6),  # one 400 Gb/s card a GPU
    "h100_ethernet": Hardware(989e12, 12.5e9, 25e-6),  # 100 Gb/s
    "tpu_v5e": Hardware(197e12, 45e9, 1e-6),  # one ICI link of four, each way
    "tpu_v4": Hardware(275e12, 45e9, 1e-6),
}


def exchange_seconds(collectives: list[dict[str, Any]], devices: int, hardware: Hardware) -> float:
    """What exchanges of so many bytes take, one after the other, each by a ring or by a tree, whichever is faster.

    An all-reduce in a ring of n takes 2 (n − 1) turns, in each of which a device sends bytes / n; in a tree twice its
    depth, ⌈log₂ n⌉, with all bytes in each. Other kinds go round the ring once, with the bytes of the whole array, of
    which a reduce-scatter leaves a device the n-th part.
    """

    def turns(number: int, sent: float) -> float:
        return number * (hardware.latency + sent / hardware.bandwidth)

    def seconds(kind: str, size: float) -> float:
        if kind != "all-reduce":
            whole = size * devices if kind == "reduce-scatter" else size
            return turns(devices - 1, whole / devices)
        return min(turns(2 * (devices - 1), size / devices), turns(2 * math.ceil(math.log2(devices)), size))

    return sum(one["times"] * seconds(one["kind"], one["bytes"]) for one in collectives)


def predict(costs: dict[int, dict[str, Any]], hardware: Hardware, utilisation: float) -> dict[int, dict[str, float]]:
    """Milliseconds of a step, and throughput over devices times that of one, by number of devices."""
    predicted: dict[int, dict[str, float]] = {}
    for devices, cost in costs.items():
        compute = cost["flops_per_device"] / (hardware.flops * utilisation)
        exchange = exchange_seconds(cost["collectives"], devices, hardware)
        step = {"compute_ms": 1e3 * compute, "exchange_ms": 1e3 * exchange}
        predicted[devices] = step | {"images_per_second": cost["batch"] / (compute + exchange)}
    first = predicted[min(predicted)]["images_per_second"] / min(predicted)
    for devices, step in predicted.items():
        step["efficiency"] = step["images_per_second"] / devices / first
    return predicted


def compiled(overrides: list[str], devices: int, batch_norm: str, scaling: str, measure: bool) -> dict[str, Any]:
    """The cost of a step on so many devices, of a process of its own: the number of devices is fixed at its start."""
    task = json.dumps([overrides, devices, batch_norm, scaling, measure])
    simulated = {} if measure else {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, "-m", "benchmarks.compiled_step", task]
    done = subprocess.run(command, env={**os.environ, **simulated}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def describe(devices: int, cost: dict[str, Any], step: dict[str, float]) -> str:
    """A line of the table."""
    bytes_exchanged = sum(one["times"] * one["bytes"] for one in cost["collectives"])
    number = sum(one["times"] for one in cost["collectives"])
    line = f"{devices:4d} {cost['batch']:6d} {number:6d} {bytes_exchanged / 1e6:9.2f}"
    line += f" {cost['flops_per_device'] / 1e9:10.1f}"
    line += f" {step['compute_ms']:10.2f} {step['exchange_ms']:11.2f} {step['efficiency']:10.1%}"
    return line + (f" {cost['images_per_second']:12.0f}" if "images_per_second" in cost else "")


def _numbers(text: str) -> list[int]:
    if not all(number.isdecimal() and int(number) for number in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}, must be numbers ≥ 1, separated by commas")
    return sorted({int(number) for number in text.split(",")})


def _modes(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(MODES):
        raise argparse.ArgumentTypeError(f"{min(unknown)!r}, must be of {', '.join(MODES)}")
    return text.split(",")


def main() -> None:
    """Compiles each case, prints a table of each, and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="config file")
    parser.add_argument("--devices", type=_numbers, default="1,2,4,8", help="numbers of devices, separated by commas")
    parser.add_argument("--batch_norm", type=_modes, default="global", help="of config.parallel, separated by commas")
    parser.add_argument("--hardware", choices=HARDWARE, default="h100_nvlink")
    parser.add_argument("--utilisation", type=float, default=0.1, help="share of the peak that a device computes at")
    parser.add_argument("--scaling", choices=["weak", "strong", "both"], default="both")
    parser.add_argument("--measure", action="store_true", help="run the step on the devices that there are")
    flags, overrides = parser.parse_known_args()
    if not 0 < flags.utilisation <= 1:
        parser.error(f"--utilisation is {flags.utilisation}, must be in (0, 1]")
    numbers, overrides = flags.devices, [f"--config={flags.config}", *overrides]
    results: dict[str, Any] = {}
    for batch_norm in flags.batch_norm:
        for scaling in ["weak", "strong"] if flags.scaling == "both" else [flags.scaling]:
            costs = {n: compiled(overrides, n, batch_norm, scaling, flags.measure) for n in numbers}
            predicted = predict(costs, HARDWARE[flags.hardware], flags.utilisation)
            print(
                f"batch norm {batch_norm}, {scaling} scaling; {flags.hardware} at {flags.utilisation:.0%} of its peak"
            )
            print("   n  batch  colls  MB moved  GF/device  compute ms  exchange ms  efficiency")
            for n in numbers:
                print(describe(n, costs[n], predicted[n]), flush=True)
            results[f"{batch_norm}_{scaling}"] = {n: {**costs[n], "predicted": predicted[n]} for n in numbers}
    print(json.dumps({"config": flags.config, "hardware": HARDWARE[flags.hardware]._asdict(), "results": results}))


if __name__ == "__main__":
    main()
