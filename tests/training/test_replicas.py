import contextlib
import itertools
import json
import pathlib
import random
import signal
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2 import config as config_lib
from mobilenet_v2.commands import evaluate, import_weights
from mobilenet_v2.config import singles
from mobilenet_v2.errors import ConfigError, DivergenceError, WeightsError
from mobilenet_v2.training import loop, replicas, sharding, trained, warm_start
from mobilenet_v2.training.random_keys import training_key
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.stream import training_stream
from mobilenet_v2.weights.load import load_pretrained
from tests import run_processes
from tests.run_directories import assert_bit_equal, deterministic_rows, saved_state, steps_taken
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


@pytest.mark.parametrize("devices, axes", [("1", (1, 1)), ("4", (4, 1)), ("8", (4, 2))])
def test_four_replicas_train_as_four_single_runs(devices: str, axes: tuple[int, int], plain: dict[str, Any]) -> None:
    run = plain["runs"][devices]
    assert (run["mesh"]["replica"], run["mesh"]["data"]) == axes
    assert_as_single_runs(run, plain["losses"])


def test_devices_with_a_replica_each_exchange_nothing(plain: dict[str, Any]) -> None:
    assert plain["runs"]["4"]["exchanges"] == []
    assert plain["runs"]["4"]["losses"] == plain["losses"]  # the very program of a single run


def test_devices_that_share_a_replica_exchange_with_each_other_alone(plain: dict[str, Any]) -> None:
    exchanges = plain["runs"]["8"]["exchanges"]
    assert exchanges
    for exchange in exchanges:
        assert exchange["groups"] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_blocks_run_fused_as_in_a_single_run(plain: dict[str, Any]) -> None:
    for run in plain["runs"].values():
        assert run["left_to_lax"] == run["left_to_lax_alone"]


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


@pytest.mark.parametrize("data", ["own", "shared"])
def test_a_run_of_replicas_is_the_runs_of_its_seeds(config: ConfigDict, tmp_path: pathlib.Path, data: str) -> None:
    config.replica_data = data
    result = loop.run(config, str(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert [one["seed"] for one in result["replicas"]] == SEEDS
    for index, single in enumerate(singles(config)[: 2 if data == "own" else 1]):
        alone = loop.run(single, str(tmp_path / str(index)))
        for use in ("validation", "test"):
            assert result["replicas"][index][use] == pytest.approx(alone[use], rel=1e-4)
        together, apart = deterministic_rows(tmp_path / "run"), deterministic_rows(tmp_path / str(index))
        for row, own in zip(together, apart, strict=True):
            assert {row.pop("event"), row.pop("step")} == {own.pop("event"), own.pop("step")}
            numbers = {name: value[index] if isinstance(value, list) else value for name, value in row.items()}
            assert numbers["loss"] == pytest.approx(own["loss"], rel=1e-4)
            # Adam's first updates are all of one size, of gradients that are rounding alone, too.
            assert numbers == pytest.approx(own, rel=1e-2)
    for use in ("validation", "test"):
        for name, mean in result[use].items():
            assert mean == pytest.approx(np.mean([one[use][name] for one in result["replicas"]]))
    row = deterministic_rows(tmp_path / "run")[0]
    assert {name for name, value in row.items() if not isinstance(value, list)} == {"event", "step", "learning_rate"}


def test_evaluate_repeats_each_replicas_scores_exactly(
    config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = loop.run(config, str(tmp_path / "run"))
    capsys.readouterr()
    evaluate.main(["evaluate", f"--workdir={tmp_path / 'run'}", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"step": 12, **{name: result[name] for name in ("validation", "test", "replicas")}}
    evaluate.main(["evaluate", f"--workdir={tmp_path / 'run'}"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("seed 3: ", "seed 4: ")) for line in lines) == 4
    assert lines[-1].endswith("(mean of 2 replicas)")


def test_one_replica_of_a_run_becomes_a_file_that_a_run_may_start_from(
    config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = tmp_path / "run", tmp_path / "second.safetensors"
    loop.run(config, str(run))
    with pytest.raises(WeightsError, match=r"holds 2 replicas, seeds 3 … 4, of which one .*--replica=0 … 1"):
        import_weights.main(["import_weights", f"--weights={run}", f"--output={output}"])
    with pytest.raises(WeightsError, match=r"--replica is 2, must be 0 … 1"):
        trained.load_run(run, replica=2)
    import_weights.main(["import_weights", f"--weights={run}", f"--output={output}", "--replica=1"])
    assert "averaged variables of replica 1 (seed 4) of step 12" in capsys.readouterr().out
    kernel = load_pretrained(output)[1]["params"]["classifier"]["kernel"]
    np.testing.assert_array_equal(kernel, saved_state(run)["ema_params/classifier/kernel"][1])
    config.init_from = str(run)
    with pytest.raises(WeightsError, match="a run may start from the file that import_weights writes"):
        warm_start.load(config)
    config.init_from = str(output)
    state = make_setup(config).create_state(warm_start.load(config).arrays)
    np.testing.assert_array_equal(state.params["classifier"]["kernel"], np.stack([kernel, kernel]))


def test_a_run_of_one_seed_has_no_replica_to_name(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.train.update(num_steps=4, log_every=4)
    loop.run(tiny_config, str(tmp_path / "run"))
    with pytest.raises(WeightsError, match="--replica is 0, must not be given where run"):
        trained.load_run(tmp_path / "run", replica=0)
    with pytest.raises(WeightsError, match=r"--replica is 0, must not be given where 'x\.safetensors' is no run"):
        trained.import_weights("x.safetensors", replica=0)


@pytest.mark.parametrize("residence", ["host", "device"])
def test_interrupted_replicas_end_bit_equal(
    config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, residence: str
) -> None:
    config.data.residence = residence
    config.train.update(log_every=3, checkpoint_every=4, evaluate_every=8)
    loop.run(config, str(tmp_path / "whole"))

    class Killed(BaseException):
        pass

    write = loop.Writers.write

    def dies_at_step_9(self: loop.Writers, event: str, step: int, **values: Any) -> None:
        write(self, event, step, **values)
        if step == 9:
            raise Killed

    monkeypatch.setattr(loop.Writers, "write", dies_at_step_9)
    with pytest.raises(Killed):
        loop.run(config, str(tmp_path / "cut"))
    monkeypatch.setattr(loop.Writers, "write", write)
    loop.run(config, str(tmp_path / "cut"))
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_killed_replicas_on_several_devices_end_bit_equal(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    overrides = [*run_processes.longer_run(config.data.data_dir), "--config.replicas=2"]
    started = run_processes.start(tmp_path / "cut", overrides, devices=4)
    moment = random.Random().randrange(3, 80)
    run_processes.wait_for(lambda: steps_taken(tmp_path / "cut") >= moment, started)
    started[0].kill()
    assert run_processes.finish(started)[0] == [-signal.SIGKILL]
    for name in ("cut", "whole"):
        run_processes.run(tmp_path / name, overrides, devices=4)
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


def poisoned(state: Any, seeds: list[int]) -> Any:
    """The same state, but the replicas of these seeds have a kernel that is not finite."""
    index = np.array([seed - SEEDS[0] for seed in seeds])
    kernel = state.params["classifier"]["kernel"].at[index].set(np.nan)
    params = {**state.params, "classifier": {**state.params["classifier"], "kernel": kernel}}
    return jax.device_put(state.replace(params=params), jax.tree.map(lambda leaf: leaf.sharding, state))


def test_a_replica_that_is_not_finite_leaves_the_others_alone(
    config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = loop.run(config, str(tmp_path / "whole"))
    create = Setup.create_state
    for name, seeds in (("one", SEEDS[1:]), ("both", SEEDS)):
        monkeypatch.setattr(Setup, "create_state", lambda self, arrays, seeds=seeds: poisoned(create(self), seeds))
        if name == "both":
            with pytest.raises(DivergenceError, match="step 1 is not finite"):
                loop.run(config, str(tmp_path / name))
            continue
        result = loop.run(config, str(tmp_path / name))
        assert result["replicas"] == [whole["replicas"][0], {"seed": 4, "diverged": 1}]
        assert result["validation"] == whole["replicas"][0]["validation"]
        for row in deterministic_rows(tmp_path / name):
            assert row["loss"][1] is None
        assert "step 1 of seed 4 is not finite: left out from here on" in capsys.readouterr().out
    monkeypatch.undo()
    capsys.readouterr()
    evaluate.main(["evaluate", f"--workdir={tmp_path / 'one'}", "--json"])
    assert json.loads(capsys.readouterr().out)["replicas"] == result["replicas"]


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
