"""Checkpoints that are damaged, disks that are full, folders that are in use."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import run_processes
from tests.run_directories import assert_bit_equal, saved_state, steps_taken

pytestmark = pytest.mark.faults


@pytest.fixture(scope="session")
def cut(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run that was told to stop in the middle."""
    workdir = tmp_path_factory.mktemp("cut") / "run"
    started = run_processes.start(workdir, overrides)
    run_processes.wait_for(lambda: steps_taken(workdir) >= 60, started)
    started[0].send_signal(signal.SIGTERM)
    assert run_processes.finish(started)[0] == [75]
    return workdir


@pytest.fixture(scope="session")
def cut_of_two(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("cut_of_two") / "run"
    started = run_processes.start(workdir, overrides, processes=2)
    run_processes.wait_for(lambda: steps_taken(workdir) >= 60, started)
    started[0].send_signal(signal.SIGTERM)
    assert run_processes.finish(started)[0] == [75, 75]
    return workdir


def newest(workdir: pathlib.Path) -> pathlib.Path:
    return max(
        (path for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal()), key=lambda p: int(p.name)
    )


def arrays(checkpoint: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in (checkpoint / "state").rglob("d/*") if path.is_file()]


def damage(checkpoint: pathlib.Path, kind: str) -> None:
    files = arrays(checkpoint)
    largest = max(files, key=lambda path: path.stat().st_size)
    if kind == "truncated":
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    elif kind == "zeroed":
        largest.write_bytes(bytes(largest.stat().st_size))
    else:
        shutil.rmtree(checkpoint / "extra")


@pytest.mark.parametrize("kind", ["truncated", "zeroed", "missing"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_corrupt_newest_checkpoint_is_told_and_the_one_before_goes_on(
    kind: str,
    processes: int,
    overrides: list[str],
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
) -> None:
    of_two = "_of_two" * (processes == 2)
    shutil.copytree(request.getfixturevalue(f"cut{of_two}"), tmp_path / "run")
    step = newest(tmp_path / "run").name
    damage(newest(tmp_path / "run"), kind)
    statuses, said, errors = run_processes.finish(run_processes.start(tmp_path / "run", overrides, processes=processes))
    assert statuses == [0] * processes, errors
    assert errors[0].count(f"checkpoint {step} is damaged") == 1
    assert "trying the one before" not in "".join(errors[1:])
    assert "goes on from step" in said[0]
    assert_bit_equal(tmp_path / "run", request.getfixturevalue(f"whole{of_two}"))


@pytest.mark.parametrize("case", range(10))
def test_a_flipped_bit_never_reaches_the_result(
    case: int, overrides: list[str], cut: pathlib.Path, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    draw = random.Random()
    shutil.copytree(cut, tmp_path / "run")
    files = [path for path in sorted(newest(tmp_path / "run").rglob("*")) if path.is_file()]
    file = max(files, key=lambda path: path.stat().st_size) if case < 5 else draw.choice(files)
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    statuses, _, errors = run_processes.finish(run_processes.start(tmp_path / "run", overrides))
    assert statuses == [0], (file, errors)
    assert_bit_equal(tmp_path / "run", whole)


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs to mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_line_and_what_was_saved_stays(
    overrides: list[str], whole: pathlib.Path, small_disk: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    statuses, _, errors = run_processes.finish(
        run_processes.start(small_disk / "run", [*overrides, "--config.train.keep_checkpoints=100"])
    )
    assert statuses == [2], errors
    assert "No space left on device" in errors[0].splitlines()[-1]
    assert errors[0].splitlines()[-1].startswith("error: ")
    saved_state(small_disk / "run")
    shutil.copytree(small_disk / "run", tmp_path / "run")
    run_processes.run(tmp_path / "run", [*overrides, "--config.train.keep_checkpoints=100"])
    ours, theirs = saved_state(tmp_path / "run"), saved_state(whole)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_run_in_the_same_workdir_is_refused_and_the_first_goes_on(
    processes: int, overrides: list[str], request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> None:
    first = run_processes.start(tmp_path / "run", overrides, processes=processes)
    run_processes.wait_for(lambda: steps_taken(tmp_path / "run") >= 1, first)
    # It would be at its end before the second has started; two must go on, for each other's heartbeats.
    pauses = [first[0]] if processes == 1 else []
    for process in pauses:
        process.send_signal(signal.SIGSTOP)
    statuses, _, errors = run_processes.finish(run_processes.start(tmp_path / "run", overrides, processes=processes))
    for process in pauses:
        process.send_signal(signal.SIGCONT)
    assert statuses == [2] * processes, errors
    assert "is in use by process" in errors[0]
    assert errors[1:] == [""] * (processes - 1)
    statuses, _, errors = run_processes.finish(first)
    assert statuses == [0] * processes, errors
    assert_bit_equal(tmp_path / "run", request.getfixturevalue("whole" + "_of_two" * (processes == 2)))
    assert len(json.loads((tmp_path / "run" / "environment.json").read_text())) == 1
