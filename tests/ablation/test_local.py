import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mobilenet_v2.ablation import local, sweep
from mobilenet_v2.ablation.sweep_directory import Run
from tests.ablation import small_sweep

# What an earlier command left behind: it has the run's folder until its input ends, then writes what it was told to.
LEFT_BEHIND = """
import fcntl, pathlib, sys
folder = pathlib.Path(sys.argv[1])
lock = open(folder / ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("process 7 on host", file=lock, flush=True)
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2:]:
    (folder / "result.json").write_text(sys.argv[2])
"""


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    config = small_sweep.get_config()
    found = Run(tmp_path, sweep.plan(small_sweep.sweep(config), config)[0], 0)
    found.folder.mkdir(parents=True)
    return found


@pytest.fixture
def left_behind(run: Run, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", LEFT_BEHIND, str(run.folder), *request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def ended(run: Run, left_behind: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Run], list]:
    """What `run_all` returns and reports, where the other process ends while it waits."""
    reported: list = []
    sleep = local.time.sleep

    def let_go(seconds: float) -> None:
        if left_behind.poll() is None:
            left_behind.communicate("end\n")
        sleep(seconds)

    monkeypatch.setattr(local.time, "sleep", let_go)
    failed = local.run_all([run], ["--config=none.py"], 1, lambda *ended: reported.append(ended))
    return failed, reported


@pytest.mark.parametrize("left_behind", [['{"steps": 1}']], indirect=True)
def test_a_run_that_outlived_its_command_is_waited_for(
    run: Run, left_behind: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(run, left_behind, monkeypatch) == ([], [(run, True)])
    assert capsys.readouterr().out == f"{run.name}: under way already, by process 7 on host; waits for it\n"
    assert not run.log.exists()  # no other was started


@pytest.mark.parametrize("left_behind", [[]], indirect=True)
def test_where_it_ends_without_a_result_the_run_is_started(
    run: Run, left_behind: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(run, left_behind, monkeypatch) == ([run], [(run, False)])
    assert "none.py" in run.error.read_text()
