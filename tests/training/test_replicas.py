import contextlib
import itertools
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2 import config as config_lib
from mobilenet_v2.config_singles import singles
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import replicas, sharding
from mobilenet_v2.training.random_keys import training_key
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.stream import training_stream
from tests.training import replica_devices
from tests.training.test_sharding import report_of

SEEDS = [3, 4]


@pytest.fixture
def config(tiny_config: ConfigDict) -> ConfigDict:
    tiny_config.update(seed=SEEDS[0], replicas=len(SEEDS))
    return tiny_config


@pytest.fixture(scope="module")
def plain(data_dir: str) -> dict[str, Any]:
    return report_of(data_dir, "plain", script="replica_devices.py")


@pytest.fixture(scope="module")
def mixed(data_dir: str) -> dict[str, Any]:
    return report_of(data_dir, "two micro-batches, mixed", script="replica_devices.py")


def assert_as_single_runs(run: dict[str, Any], losses: list[list[float]]) -> None:
    np.testing.assert_allclose(run["losses"], losses, rtol=1e-4)
    assert np.shape(losses) == (replica_devices.STEPS, replica_devices.REPLICAS)
    assert np.ptp(losses, axis=1).min() > 1e-3 * np.max(losses)  # seeds differ by more
    assert run["apart"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("devices, axes", [("1", (1, 1)), ("4", (4, 1)), ("8", (4, 2))])
def test_four_replicas_train_as_four_single_runs(devices: str, axes: tuple[int, int], plain: dict[str, Any]) -> None:
    run = plain["runs"][devices]
    assert (run["mesh"]["replica"], run["mesh"]["data"]) == axes
    assert_as_single_runs(run, plain["losses"])


@pytest.mark.slow
def test_devices_with_a_replica_each_exchange_nothing(plain: dict[str, Any]) -> None:
    assert plain["runs"]["4"]["exchanges"] == []
    assert plain["runs"]["4"]["losses"] == plain["losses"]  # the very program of a single run


@pytest.mark.slow
def test_devices_that_share_a_replica_exchange_with_each_other_alone(plain: dict[str, Any]) -> None:
    exchanges = plain["runs"]["8"]["exchanges"]
    assert exchanges
    for exchange in exchanges:
        assert exchange["groups"] == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.slow
def test_blocks_run_fused_as_in_a_single_run(plain: dict[str, Any]) -> None:
    for run in plain["runs"].values():
        assert run["left_to_lax"] == run["left_to_lax_alone"]


@pytest.mark.slow
def test_a_batch_must_be_one_that_the_devices_of_a_replica_can_split(plain: dict[str, Any]) -> None:
    assert "batch_size is 33, must be divisible by 2 devices" in plain["refused"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mixed_micro_batches_are_those_of_single_runs_and_exchange_nothing_either(mixed: dict[str, Any]) -> None:
    """Draws from a beta distribution take as long as they take: a loop that must not wait for other replicas."""
    run = mixed["runs"]["4"]
    assert_as_single_runs(run, mixed["losses"])
    assert run["exchanges"] == []


@pytest.mark.parametrize(
    "count, devices, axes",
    [(4, 1, (1, 1)), (4, 4, (4, 1)), (4, 8, (4, 2)), (8, 4, (4, 1)), (3, 8, (1, 8)), (6, 4, (2, 2))],
)
def test_devices_are_shared_out_to_replicas_first(count: int, devices: int, axes: tuple[int, int]) -> None:
    mesh = sharding.make_mesh(count, jax.devices() * devices)
    assert mesh.axis_names == ("replica", "data")
    assert mesh.devices.shape == axes


def taken(setup: Setup, count: int, start: int = 0) -> list[dict[str, np.ndarray]]:
    with contextlib.closing(training_stream(setup, start)) as batches:
        return [jax.device_get(batch) for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize("residence", ["host", "device"])
def test_own_data_are_those_of_each_seed(config: ConfigDict, residence: str) -> None:
    config.data.residence = residence
    together = taken(make_setup(config), 3, start=11)
    for index, single in enumerate(singles(config)):
        alone = taken(make_setup(single), 3, start=11)
        for batch, own in zip(together, alone, strict=True):
            for name, rows in own.items():
                np.testing.assert_array_equal(batch[name][index], rows)


@pytest.mark.parametrize("residence", ["host", "device"])
def test_shared_data_are_those_of_the_first_seed(config: ConfigDict, residence: str) -> None:
    config.data.residence, config.replica_data = residence, "shared"
    together, alone = taken(make_setup(config), 3), taken(make_setup(singles(config)[0]), 3)
    jax.tree.map(np.testing.assert_array_equal, together, alone)


def test_replicas_begin_and_draw_as_their_seeds_do(config: ConfigDict) -> None:
    setup = make_setup(config)
    state, keys = setup.create_state(), replicas.training_keys(config, setup.mesh)
    for index, single in enumerate(singles(config)):
        own = make_setup(single).create_state()
        jax.tree.map(
            lambda ours, theirs, i=index: np.testing.assert_array_equal(ours[i], theirs), state.params, own.params
        )
        assert jax.random.key_data(keys[index]).tolist() == jax.random.key_data(training_key(single.seed)).tolist()
    assert int(state.step) == 0
    kernels = state.params["classifier"]["kernel"]
    assert (kernels[0] != kernels[1]).any()


def test_what_can_not_be_replicated_is_refused(config: ConfigDict) -> None:
    with pytest.raises(ConfigError, match=r"config\.replicas is 2, must be 1 where 3 processes train together"):
        config_lib.validate_topology(config, 1, 3)
    config.parallel.parameters = "fsdp"
    with pytest.raises(ConfigError, match=r"parameters is 'fsdp', must be 'replicated' where config\.replicas is 2"):
        config_lib.validate(config)
    config.parallel.parameters, config.seed = "replicated", 2**32 - 1
    with pytest.raises(
        ConfigError, match=r"config\.seed is 4294967295, must be at most 4294967294 where config\.replicas"
    ):
        config_lib.validate(config)
    config.replicas = 1
    config_lib.validate(config)
