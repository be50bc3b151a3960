"""The whole command: processes that train, are killed, and go on."""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.ablation.results import read as read_results
from tests.run_directories import assert_bit_equal, steps_taken
from tests.run_processes import REPOSITORY

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = "--config=tests/ablation/small_sweep.py"


def start(workdir: pathlib.Path, data_dir: str, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mobilenet_v2", "ablate", CONFIG, f"--config.data.data_dir={data_dir}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(workdir: pathlib.Path, data_dir: str, *flags: str) -> tuple[int, str, str]:
    process = start(workdir, data_dir, *flags)
    try:
        said, errors = process.communicate(timeout=250)
    finally:
        process.kill()
    return process.returncode, said, errors


def results(workdir: pathlib.Path) -> dict[str, float]:
    """Time of writing of each finished run's result."""
    found = sorted(workdir.glob("*/seed_*/result.json"))
    return {str(path.parent.relative_to(workdir)): path.stat().st_mtime_ns for path in found}


def starts(workdir: pathlib.Path) -> dict[str, int]:
    """How often each run was started."""
    found = sorted(workdir.glob("*/seed_*/environment.json"))
    return {str(path.parent.relative_to(workdir)): len(json.loads(path.read_text())) for path in found}


@pytest.fixture(scope="module")
def finished(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A sweep of two points and two seeds that nothing disturbed, two runs at a time."""
    workdir = tmp_path_factory.mktemp("sweep") / "whole"
    status, said, errors = run(workdir, data_dir, "--seeds=2", "--jobs=2")
    assert status == 0, errors
    assert "4 runs, 0 finished; the others will take about 0:0" in said
    assert "[4/4]" in said
    return workdir


def test_every_point_is_trained_with_every_seed(finished: pathlib.Path) -> None:
    assert list(results(finished)) == ["t2/seed_0", "t2/seed_1", "t3/seed_0", "t3/seed_1"]
    sweep = json.loads((finished / "sweep.json").read_text())
    assert [point["name"] for point in sweep["points"]] == ["t2", "t3"]
    assert sweep["points"][0]["multiply_adds"] < sweep["points"][1]["multiply_adds"]
    config = json.loads((finished / "t3/seed_1/config.json").read_text())
    assert (config["seed"], config["model"]["expansion_factor"]) == (1, 3)


def test_what_is_finished_is_left_alone_and_what_is_new_is_added(finished: pathlib.Path, data_dir: str) -> None:
    before = results(finished)
    status, said, errors = run(finished, data_dir, "--seeds=3", "--points=t2", "--keep=result")
    assert status == 0, errors
    assert "3 runs, 2 finished" in said
    after = results(finished)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"t2/seed_2"}
    assert not (finished / "t2/seed_2/checkpoints").exists()
    assert (finished / "t2/seed_0/checkpoints").exists()


def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_bits(
    finished: pathlib.Path, data_dir: str, tmp_path: pathlib.Path
) -> None:
    process = start(tmp_path / "cut", data_dir, "--seeds=2", "--jobs=2")
    deadline = time.monotonic() + 200
    while not list((tmp_path / "cut").glob("*/seed_1/metrics.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    for pid in [process.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    before, begun = results(tmp_path / "cut"), starts(tmp_path / "cut")
    assert 0 < len(before) < len(begun)  # one was cut in the middle
    status, _, errors = run(tmp_path / "cut", data_dir, "--seeds=2", "--jobs=2")
    assert status == 0, errors
    assert {name: results(tmp_path / "cut")[name] for name in before} == before
    assert starts(tmp_path / "cut") == {
        name: begun.get(name, 0) + (name not in before) for name in results(tmp_path / "cut")
    }
    for name in ("t2/seed_0", "t2/seed_1", "t3/seed_0", "t3/seed_1"):
        assert_bit_equal(tmp_path / "cut" / name, finished / name)


def test_told_to_stop_the_run_is_saved_and_the_status_asks_for_another_start(
    data_dir: str, tmp_path: pathlib.Path
) -> None:
    process = start(tmp_path, data_dir, "--seeds=2", "--config.train.num_steps=100000")
    deadline = time.monotonic() + 200
    while steps_taken(tmp_path / "t2/seed_0") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 75
    assert errors.splitlines()[-1].startswith("interrupted, 0 runs finished, 4 not")
    assert list((tmp_path / "t2/seed_0/checkpoints").glob("[0-9]*"))
    assert not (tmp_path / "t2/seed_0.error").exists()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(data_dir: str, tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "runs"
    (workdir / "t2" / "seed_0").mkdir(parents=True)
    (workdir / "t2" / "seed_0" / "in_the_way.txt").write_text("no run")
    status, _, errors = run(workdir, data_dir, "--seeds=1")
    assert (status, "holds files but no sweep.json" in errors) == (2, True)
    (workdir / "t2").rename(tmp_path / "aside")
    status, _, errors = run(workdir, data_dir, "--seeds=1", "--points=t3")
    assert status == 0, errors
    (tmp_path / "aside").rename(workdir / "t2")
    status, _, errors = run(workdir, data_dir, "--seeds=2")
    assert status == 1
    assert errors.splitlines()[-1].startswith("error: 1 of 4 runs failed: t2, seed 0; why stands in ")
    assert "holds files but no config.json" in (workdir / "t2" / "seed_0.error").read_text()
    assert list(results(workdir)) == ["t2/seed_1", "t3/seed_0", "t3/seed_1"]


@pytest.mark.slow
def test_a_run_of_several_replicas_is_several_rows_of_the_report(data_dir: str, tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "runs"
    status, _, errors = run(workdir, data_dir, "--seeds=4", "--points=t2", "--config.replicas=2")
    assert status == 0, errors
    assert list(results(workdir)) == ["t2/seed_0", "t2/seed_2"]
    points = json.loads((workdir / "sweep.json").read_text())["points"]
    assert [point["seeds"] for point in points] == [[0, 1, 2, 3], []]
    found = read_results(workdir)
    assert [row.seed for row in found.rows] == [0, 1, 2, 3]
    assert len(found.accuracies("t2")) == 4


def test_commands_are_lines_for_a_shell_that_train_one_run_each(
    finished: pathlib.Path, data_dir: str, tmp_path: pathlib.Path
) -> None:
    status, said, errors = run(tmp_path / "runs", data_dir, "--seeds=2", "--launcher=commands")
    assert status == 0, errors
    lines = said.splitlines()
    assert len(lines) == 4
    words = shlex.split(lines[1])
    assert words[:4] == ["python", "-m", "mobilenet_v2", "train"]
    done = subprocess.run([sys.executable, *words[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/t3/seed_0/result.json").exists()
    config = "t3/seed_0/config.json"
    assert (tmp_path / "runs" / config).read_text() == (finished / config).read_text()
    found = read_results(tmp_path / "runs")
    assert [(row.folder, row.status) for row in found.rows] == [
        ("t2/seed_0", "not begun"),
        ("t2/seed_1", "not begun"),
        ("t3/seed_0", "finished"),
        ("t3/seed_1", "not begun"),
    ]


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--seeds=0"], "--seeds is '0', must be an integer in 1"),
        (["--seeds=3", "--config.replicas=2"], "--seeds is 3, must be a multiple of config.replicas, 2"),
        (["--jobs=none"], "--jobs is 'none', must be an integer"),
        (["--launcher=slrum"], "--launcher is 'slrum', must be one of local, slurm, commands; did you mean 'slurm'"),
        (["--keep=all"], "--keep is 'all', must be one of checkpoints, result"),
        (["--points=t9"], "--points is 't9', which names 't9': must be of t2, t3"),
        (["--slurm=partition=gpu"], "--slurm is 'partition=gpu', must be left out unless --launcher=slurm"),
        (["--launcher=slurm", "--slurm=gpu"], "--slurm has 'gpu', must be NAME=VALUE"),
        (["--config.train.batch_size=0"], "config.train.batch_size is 0, must be an integer"),
        (["--config.model.num_classes=3"], "config.model.num_classes is 3, must be at least 10"),
        (["--config.data.train_split=everything"], "split 'everything' of data set 'digits' can't be read"),
        (["--config.data.name=no_such_data"], "config.data.name is 'no_such_data', which is no data set"),
        (
            ["--config.train.num_steps=3", "--config.optimizer.warmup_epochs=90"],
            "point 't2' of the sweep: config.optimi",
        ),
        (["--config=tests/tiny.py"], "--config is 'tests/tiny.py', which defines no sweep"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_written(
    flags: list[str], says: str, data_dir: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [] if flags[0].startswith("--config=") else [CONFIG]
    argv = ["ablate", *first, *flags, f"--workdir={tmp_path / 'runs'}", f"--config.data.data_dir={data_dir}"]
    assert command_line.execute(commands.dispatch, ["mobilenet_v2", *argv]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert says in errors
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_another_sweep_is_refused(
    finished: pathlib.Path, data_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["ablate", CONFIG, f"--workdir={finished}", f"--config.data.data_dir={data_dir}"]
    argv.append("--config.train.batch_size=8")
    assert command_line.execute(commands.dispatch, ["mobilenet_v2", *argv]) == 2
    assert "holds a sweep of another config (train.batch_size: 16 → 8)" in capsys.readouterr().err
