import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks.compiled_step import collectives
from benchmarks.scaling import HARDWARE, Hardware, exchange_seconds, predict
from tests.run_processes import REPOSITORY


def scaling(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.scaling", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)


def test_an_exchange_is_told_by_kind_number_and_bytes_of_its_arrays_and_how_often_a_step_has_it() -> None:
    text = """
      %a = f32[8]{0} all-reduce(%x), replica_groups={{0,1}}, metadata={op_name="jit(step)/while/body/sum"}
      ROOT %b = (f32[3,3,8]{2,1,0}, /*index=1*/bf16[], s32[4]{0}) all-reduce-start(%y, %z), to_apply=%add
      %c = f32[2,16]{1,0} all-gather(%w), dimensions={0}
      %d = f32[8]{0} add(%a, %a)
      %e = (f32[2,16]{1,0}, f32[16,16]{1,0}) all-gather-start(%w), dimensions={0}
      %f = ((f32[2]{0}, bf16[4]{0}), (f32[16]{0}, bf16[32]{0})) all-gather-start(%w, %v), dimensions={0}
      %g = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%w), source_target_pairs={{0,1}}
    """
    assert collectives(text, micro_batches=4) == [
        {"kind": "all-reduce", "arrays": 1, "bytes": 32, "times": 4},
        {"kind": "all-reduce", "arrays": 3, "bytes": 288 + 2 + 16, "times": 1},
        {"kind": "all-gather", "arrays": 1, "bytes": 128, "times": 1},
        {"kind": "all-gather", "arrays": 1, "bytes": 1024, "times": 1},
        {"kind": "all-gather", "arrays": 2, "bytes": 64 + 64, "times": 1},
        {"kind": "collective-permute", "arrays": 1, "bytes": 32, "times": 1},
    ]


def test_large_arrays_go_round_a_ring_and_small_ones_through_a_tree() -> None:
    hardware = Hardware(flops=1.0, bandwidth=100.0, latency=0.5)

    def seconds(size: int, devices: int, kind: str = "all-reduce", times: int = 1) -> float:
        return exchange_seconds([{"kind": kind, "bytes": size, "times": times}], devices, hardware)

    assert seconds(8000, 8) == pytest.approx(14 * (0.5 + 1000 / 100))
    assert seconds(8, 8) == pytest.approx(6 * (0.5 + 8 / 100))
    assert seconds(8, 8, times=2) == pytest.approx(12 * (0.5 + 8 / 100))
    assert seconds(8000, 8, "all-gather") == seconds(1000, 8, "reduce-scatter") == pytest.approx(7 * (0.5 + 1000 / 100))
    assert seconds(800, 1) == 0


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


def test_micro_batches_cost_as_much_as_the_batch_and_exchange_again_each(tmp_path: pathlib.Path) -> None:
    lines = ["from tests import tiny", "def get_config():", "    config = tiny.get_config()"]
    lines += ["    config.train.accumulation_steps = 4", "    return config"]
    (tmp_path / "micro.py").write_text("\n".join(lines))
    costs = []
    for config in ("tests/tiny.py", str(tmp_path / "micro.py")):
        done = scaling(f"--config={config}", "--devices=2", "--scaling=strong")
        assert done.returncode == 0, done.stderr
        costs.append(json.loads(done.stdout.splitlines()[-1])["results"]["global_strong"]["2"])
    whole, cut = costs
    assert cut["flops_per_device"] == pytest.approx(whole["flops_per_device"], rel=0.1)
    times = [exchange["times"] for exchange in cut["collectives"]]
    assert set(times) == {1, 4}
    assert times.count(4) >= len(whole["collectives"]) - 1


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config=nowhere.py"], "error: --config is 'nowhere.py', must be a Python file that exists"),
        (["--config=tests/tiny.py", "--devices=3"], "must be divisible by 3 devices"),
        (["--config=tests/tiny.py", "--devices=1,x"], "'1,x', must be numbers ≥ 1, separated by commas"),
        (["--config=tests/tiny.py", "--batch_norm=local"], "'local', must be of global, per_device, groups"),
        (["--config=tests/tiny.py", "--config.train.batchsize=3"], "error: config has no field 'train.batchsize'"),
    ],
)
def test_what_is_wrong_is_one_line(flags: list[str], message: str) -> None:
    done = scaling(*flags, "--scaling=strong")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
