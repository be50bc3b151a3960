"""Whole runs with several replicas."""

import json
import pathlib
import random
import signal
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.commands import evaluate, import_weights
from mobilenet_v2.config_singles import singles
from mobilenet_v2.errors import DivergenceError, WeightsError
from mobilenet_v2.training import loop, trained, warm_start
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.weights.load import load_pretrained
from tests import run_processes
from tests.run_directories import assert_bit_equal, deterministic_rows, saved_state, steps_taken

SEEDS = [3, 4]


@pytest.fixture
def config(tiny_config: ConfigDict) -> ConfigDict:
    tiny_config.update(seed=SEEDS[0], replicas=len(SEEDS))
    return tiny_config


@pytest.mark.parametrize("data", ["own", pytest.param("shared", marks=pytest.mark.slow)])
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


@pytest.mark.slow
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


@pytest.mark.parametrize("residence", [pytest.param("host", marks=pytest.mark.slow), "device"])
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


@pytest.mark.slow
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
