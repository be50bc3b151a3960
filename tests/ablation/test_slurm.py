"""Jobs by submitit, whose own executor of local processes stands in for Slurm here."""

import json
import pathlib
import subprocess
import sys

import pytest

from mobilenet_v2.ablation import slurm
from mobilenet_v2.errors import ConfigError
from tests.run_processes import REPOSITORY

# In a process of its own: submitit, once imported, holds on to standard error.
SUBMIT = """
import pathlib, sys
from mobilenet_v2.ablation import slurm, sweep, sweep_directory
from tests.ablation import small_sweep

workdir, data_dir = pathlib.Path(sys.argv[1]), sys.argv[2]
config = small_sweep.get_config()
planned = sweep.plan(small_sweep.sweep(config), config)
base = ["--config=tests/ablation/small_sweep.py", f"--config.data.data_dir={data_dir}"]
runs = sweep_directory.runs_of(workdir, planned, [0])
for job in slurm.submit(runs, base, {"timeout_min": 5}, cluster="local"):
    job.result()
"""


@pytest.mark.slow
def test_a_job_trains_a_run(data_dir: str, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", SUBMIT, str(tmp_path / "runs"), data_dir]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("job ") == 2
    assert ": t2, seed 0\n" in done.stdout
    for name in ("t2", "t3"):
        assert json.loads((tmp_path / "runs" / name / "seed_0" / "result.json").read_text())["steps"] == 12


@pytest.mark.parametrize("status, noted", [(3, True), (75, False)])
def test_a_job_that_fails_says_why_and_one_that_was_told_to_stop_does_not(
    status: int, noted: bool, tmp_path: pathlib.Path
) -> None:
    log, error = tmp_path / "t3" / "seed_0.log", tmp_path / "t3" / "seed_0.error"
    words = [sys.executable, "-c", f"print('no room'); raise SystemExit({status})"]
    with pytest.raises(subprocess.CalledProcessError, match=f"exit status {status}"):
        slurm.Training(words, log, error)()
    assert log.read_text() == "no room\n"
    assert error.exists() == noted
    if noted:
        assert error.read_text() == "ended with status 3\nno room\n"


def test_numbers_among_the_parameters_are_numbers() -> None:
    assert slurm.options("partition=gpu,timeout_min=600", True) == {"partition": "gpu", "timeout_min": 600}
    assert slurm.options(None, True) == slurm.options(None, False) == {}


def test_a_parameter_that_submitit_does_not_know_is_named(tmp_path: pathlib.Path) -> None:
    text = SUBMIT.replace('{"timeout_min": 5}', '{"partitoin": "gpu"}')
    command = [sys.executable, "-c", text, str(tmp_path / "runs"), "none"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert "ConfigError: --slurm: " in done.stderr
    assert "partitoin" in done.stderr


def test_without_submitit_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs submitit: pip install submitit"):
        slurm.options(None, True)
