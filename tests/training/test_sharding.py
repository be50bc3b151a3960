import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from mobilenet_v2.training import sharding

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(data_dir: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(ROOT),
    }
    script = pathlib.Path(__file__).with_name("eight_devices.py")
    command = [sys.executable, "-W", "error", str(script), data_dir]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=[0, 1, 2], ids=["whole batches", "two micro-batches", "two micro-batches, mixed"])
def run(report: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    assert report["devices"] == 8
    return report["runs"][request.param]


def test_eight_devices_train_as_one_does(run: dict[str, Any]) -> None:
    assert len(run["apart"]) > 50
    assert {name: value for name, value in run["apart"].items() if not value < 1e-5} == {}


def test_devices_exchange_sums_and_one_row_where_images_are_mixed(report: dict[str, Any]) -> None:
    exchanged = [run["collectives_of_all"] for run in report["runs"]]
    assert exchanged == [["all-reduce"], ["all-reduce"], ["all-reduce", "collective-permute"]]
    assert [run["collectives_of_one"] for run in report["runs"]] == [[]] * 3


def test_fused_blocks_split_over_devices_are_the_plain_layers(report: dict[str, Any]) -> None:
    assert report["fused_against_plain"] <= 1e-10


def test_devices_that_hold_the_data_exchange_nothing_for_a_batch(report: dict[str, Any]) -> None:
    assert report["gathered_alike"] is True
    assert report["collectives_of_gathering"] == []


def test_the_mesh_has_every_device_on_its_one_axis() -> None:
    mesh = sharding.make_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.size == jax.device_count()


def test_batches_are_split_by_rows_and_the_rest_is_everywhere() -> None:
    mesh = sharding.make_mesh()
    rows = jax.device_put(np.zeros((8 * mesh.size, 3)), sharding.split_rows(mesh))
    assert [shard.data.shape for shard in rows.addressable_shards] == [(8, 3)] * mesh.size
    assert jax.device_put(np.zeros((5, 3)), sharding.replicated(mesh)).is_fully_replicated
