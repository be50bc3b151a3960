import json
import subprocess
import sys

import pytest

from benchmarks.compiled_step import collectives
from benchmarks.scaling import HARDWARE, Hardware, exchange_seconds, predict
from tests.run_processes import REPOSITORY


def scaling(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.scaling", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)


def test_an_exchange_is_told_by_kind_number_and_bytes_of_its_arrays() -> None:
    text = """
      %a = f32[8]{0} all-reduce(%x), replica_groups={{0,1}}
      ROOT %b = (f32[3,3,8]{2,1,0}, /*index=1*/bf16[], s32[4]{0}) all-reduce-start(%y, %z), to_apply=%add
      %c = f32[2,16]{1,0} all-gather(%w), dimensions={0}
      %d = f32[8]{0} add(%a, %a)
    """
    assert collectives(text) == [
        {"kind": "all-reduce", "arrays": 1, "bytes": 32},
        {"kind": "all-reduce", "arrays": 3, "bytes": 288 + 2 + 16},
        {"kind": "all-gather", "arrays": 1, "bytes": 128},
    ]


def test_large_arrays_go_round_a_ring_and_small_ones_through_a_tree() -> None:
    hardware = Hardware(flops=1.0, bandwidth=100.0, latency=0.5)
    assert exchange_seconds([{"bytes": 8000}], 8, hardware) == pytest.approx(14 * (0.5 + 1000 / 100))
    assert exchange_seconds([{"bytes": 8}], 8, hardware) == pytest.approx(6 * (0.5 + 8 / 100))
    assert exchange_seconds([{"bytes": 8}, {"bytes": 8}], 8, hardware) == pytest.approx(12 * (0.5 + 8 / 100))
    assert exchange_seconds([{"bytes": 800}], 1, hardware) == 0


def test_without_exchanges_efficiency_is_1() -> None:
    costs = {n: {"flops_per_device": 1e9, "collectives": [], "batch": 32 * n} for n in (1, 2, 8)}
    assert [step["efficiency"] for step in predict(costs, HARDWARE["tpu_v4"], 0.1).values()] == [1, 1, 1]


def test_two_devices_share_the_work_and_exchange_gradients() -> None:
    done = scaling("--config=tests/tiny.py", "--devices=1,2", "--batch_norm=per_device", "--scaling=strong")
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout.splitlines()[-1])["results"]["per_device_strong"].values()
    assert one["collectives"] == []
    assert {exchange["kind"] for exchange in two["collectives"]} == {"all-reduce"}
    assert sum(exchange["bytes"] for exchange in two["collectives"]) > 4 * 2_010  # the network's parameters
    assert two["flops_per_device"] == pytest.approx(one["flops_per_device"] / 2, rel=0.1)
    assert one["batch"] == two["batch"] == 16


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config=nowhere.py"], "error: --config is 'nowhere.py', which can't be read"),
        (["--config=tests/tiny.py", "--devices=3"], "must be divisible by 3 devices"),
    ],
)
def test_what_is_wrong_is_one_line(flags: list[str], message: str) -> None:
    done = scaling(*flags, "--scaling=strong")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
