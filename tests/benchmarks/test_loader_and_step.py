import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import pytest
from ml_collections import ConfigDict

from benchmarks import input_pipeline, loader_and_step
from mobilenet_v2.training import stream
from tests import tiny

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("residence", ["host", "device"])
def test_loader_and_step_are_timed_alone_and_together(residence: str, tiny_config: ConfigDict) -> None:
    tiny_config.data.residence = residence
    measured = loader_and_step.measure_config(tiny_config, rounds=1, seconds=0.01)
    assert list(measured) == ["loader", "step", "loader_and_step", "limited_by"]
    rates = {name: measured[name] for name in ("loader", "step")}
    assert all(rate > 0 for rate in [*rates.values(), measured["loader_and_step"]])
    assert measured["limited_by"] == min(rates, key=rates.__getitem__)


def test_the_loader_is_what_is_slow_where_it_is(tiny_config: ConfigDict, monkeypatch: pytest.MonkeyPatch) -> None:
    read = stream.training_batches

    def slowly(*arguments: Any, **named: Any) -> Any:
        return read(*arguments, **named).map(lambda batch: (time.sleep(0.3), batch)[1])

    monkeypatch.setattr(stream, "training_batches", slowly)
    measured = loader_and_step.measure_config(tiny_config, rounds=1, seconds=0.01)
    fastest = tiny_config.train.batch_size / 0.3
    assert measured["loader"] < fastest
    assert measured["loader_and_step"] < fastest
    assert measured["limited_by"] == "loader"


def test_a_training_split_on_the_devices_is_read_from_there(
    tiny_config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.data.residence = "device"
    monkeypatch.setattr(stream, "training_batches", None)
    assert loader_and_step.measure_config(tiny_config, rounds=1, seconds=0.01)["loader"] > 0


def test_turns_are_interleaved_and_the_median_of_the_rounds_counts(
    tiny_config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Turns in the order loader, step, both.
    rates = iter([1.0, 20.0, 1.0, 3.0, 10.0, 2.0, 90.0, 40.0, 7.0])
    monkeypatch.setattr(loader_and_step, "_rate", lambda *_: next(rates))
    measured = loader_and_step.measure_config(tiny_config, rounds=3)
    assert measured == {"loader": 3.0, "step": 20.0, "loader_and_step": 2.0, "limited_by": "loader"}


def test_the_json_names_the_cores_and_the_device(
    data_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {"loader": 1.0, "step": 2.0, "loader_and_step": 1.0, "limited_by": "loader"}
    monkeypatch.setattr(loader_and_step, "measure_config", lambda config, rounds: rates)
    input_pipeline.compare_with_step(["input_pipeline", f"--config={tiny.__file__}"], 1)
    printed = json.loads(capsys.readouterr().out)
    assert printed["results"]["config"] == rates
    assert printed["machine"]["cores"] == input_pipeline.process.cores()
    assert printed["machine"]["device"] == "cpu"


def test_a_missing_config_is_one_line_and_exit_status_2() -> None:
    command = [sys.executable, "-m", "benchmarks.input_pipeline", "--config=configs/none.py"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --config is 'configs/none.py', must be a Python file that exists and defines get_config()\n"
    )
