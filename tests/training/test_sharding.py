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
from tests.training import eight_devices

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(data_dir: str) -> dict[str, Any]:
    return report_of(data_dir)


@pytest.fixture(scope="module")
def more(data_dir: str) -> dict[str, Any]:
    return report_of(data_dir, "more")


def report_of(*arguments: str, script: str = "eight_devices.py") -> dict[str, Any]:
    """What a script beside this file prints on eight simulated devices."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-W", "error", str(pathlib.Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_like_one(run: dict[str, Any]) -> None:
    assert len(run["apart"]) > 50
    assert {name: value for name, value in run["apart"].items() if not value < 1e-5} == {}
    assert run["collectives_of_one"] == []


@pytest.mark.parametrize("name", eight_devices.RUNS)
def test_eight_devices_train_as_one_does(name: str, report: dict[str, Any]) -> None:
    assert report["devices"] == 8
    assert_like_one(report["runs"][name])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", eight_devices.MORE_RUNS)
def test_eight_devices_train_as_one_does_otherwise_too(name: str, more: dict[str, Any]) -> None:
    assert_like_one(more["runs"][name])


# Where images are mixed a device needs the row that its first is mixed with.
@pytest.mark.parametrize(
    "name, kinds",
    [
        ("global", {"all-reduce"}),
        ("plain layers", {"all-reduce"}),
        ("two micro-batches, mixed", {"all-reduce", "collective-permute"}),
        ("groups of a device's rows", {"all-reduce"}),
        ("fsdp", {"all-reduce", "all-gather"}),
    ],
)
def test_devices_exchange_sums_and_no_activations(name: str, kinds: set[str], report: dict[str, Any]) -> None:
    assert {kind for kind, *_ in report["runs"][name]["collectives_of_all"]} == kinds


def test_global_batch_norm_exchanges_moments_once_forwards_once_backwards_and_all_kernels_at_once(
    report: dict[str, Any],
) -> None:
    """10 batch norms; their moments are vectors, kernels have more axes."""
    exchanged = report["runs"]["plain layers"]["collectives_of_all"]
    with_kernels = [shapes for _, *shapes in exchanged if any("," in shape for shape in shapes)]
    assert [sum("," in shape for shape in shapes) for shapes in with_kernels] == [11]
    assert len(exchanged) <= 2 * 10 + 2


def test_a_device_that_has_whole_groups_exchanges_gradients_and_running_moments_alone(report: dict[str, Any]) -> None:
    assert len(report["runs"]["groups of a device's rows"]["collectives_of_all"]) <= 3


def test_a_split_state_is_gathered_once_an_array_and_ends_in_the_same_bits(report: dict[str, Any]) -> None:
    exchanged = report["runs"]["fsdp"]["collectives_of_all"]
    gathered = [shape for kind, *shapes in exchanged if kind == "all-gather" for shape in shapes]
    assert len(gathered) == 11  # kernels
    assert all("," in shape for shape in gathered)
    assert report["split_as_whole"] is True


def test_a_split_array_is_packed_whole(report: dict[str, Any]) -> None:
    assert report["packs_split_arrays"] is True


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_groups_across_devices_gather_moments_and_no_activations(more: dict[str, Any]) -> None:
    exchanged = more["runs"]["groups across devices"]["collectives_of_all"]
    assert {kind for kind, *_ in exchanged} == {"all-reduce", "all-gather"}
    gathered = {shape for kind, *shapes in exchanged if kind == "all-gather" for shape in shapes}
    assert gathered == {f"f32[48,{channels}]" for channels in (8, 16, 32)}


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


def test_what_has_axes_is_split_along_the_largest_that_the_devices_divide_and_vectors_are_not() -> None:
    mesh: Any = jax.sharding.AbstractMesh((4,), ("data",))
    shapes = {"kernel": (3, 3, 8, 16), "square": (8, 8), "vector": (12,), "odd": (3, 10), "scalar": ()}
    state = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    places = sharding.of_state(mesh, lambda: state, "fsdp")
    assert {name: tuple(place.spec) for name, place in places.items()} == {
        "kernel": (None, None, None, "data"),
        "square": (None, "data"),
        "vector": (),
        "odd": (),
        "scalar": (),
    }
