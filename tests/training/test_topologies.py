"""The same run on other numbers of processes and devices."""

import pathlib
import shutil
import signal
from collections.abc import Callable

import pytest

from tests import run_processes
from tests.run_directories import assert_bit_equal, deterministic_rows, result, saved_state, steps_taken
from tests.training.eight_devices import distance

# 48 rows for 1, 2, 3 and 8 devices. RMSProp: Adam would blow up what rounding leaves of a gradient that is zero.
SETTINGS = {
    "train.batch_size": 48,
    "train.num_steps": 20,
    "train.evaluate_every": 8,
    "train.log_every": 1,
    "optimizer.name": "rmsprop",
    "optimizer.learning_rate": 0.045,
    "optimizer.decay": 0.9,
    "optimizer.epsilon": 1.0,
    "optimizer.weight_decay": 4e-5,
    "parallel.agree_every": 1,
}
Run = Callable[[int, int], pathlib.Path]


@pytest.fixture(scope="module")
def overrides(data_dir: str) -> list[str]:
    return [f"--config.{name}={value}" for name, value in SETTINGS.items()] + [f"--config.data.data_dir={data_dir}"]


@pytest.fixture(scope="module")
def whole(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Where the run of so many processes of so many devices is; made when it is asked for."""
    made: dict[tuple[int, int], pathlib.Path] = {}

    def run(processes: int, devices: int) -> pathlib.Path:
        if (processes, devices) not in made:
            workdir = tmp_path_factory.mktemp("whole") / "run"
            run_processes.run(workdir, overrides, processes=processes, devices=devices)
            made[processes, devices] = workdir
        return made[processes, devices]

    return run


def assert_close(one: pathlib.Path, other: pathlib.Path) -> None:
    """Metrics and arrays to 1e-5 of their size, norms of gradients to 1e-4; accuracies, which are counts, exactly."""
    ours, theirs = deterministic_rows(one), deterministic_rows(other)
    for row, expected in zip(ours, theirs, strict=True):
        assert row.pop("event") == expected.pop("event")
        norms = {name: row.pop(name) for name in list(row) if name.endswith("_norm")}
        assert norms == pytest.approx({name: expected.pop(name) for name in norms}, rel=1e-4)
        assert row == pytest.approx(expected, rel=1e-5)
    for use in ("validation", "test"):
        for name in ("accuracy", "ema_accuracy"):
            assert result(one)[use][name] == result(other)[use][name]
    arrays, expected_arrays = saved_state(one), saved_state(other)
    assert arrays.keys() == expected_arrays.keys()
    # A mean over what batch norm centred is nearly zero.
    apart = {name: distance(array, expected_arrays[name], zero=1e-2) for name, array in arrays.items()}
    assert {name for name, value in apart.items() if not value < 1e-5} == set()


@pytest.mark.parametrize(
    "processes, devices",
    [(2, 2), pytest.param(1, 8, marks=pytest.mark.slow), pytest.param(2, 4, marks=pytest.mark.slow)],
)
def test_any_number_of_processes_and_devices_trains_as_one_does(processes: int, devices: int, whole: Run) -> None:
    assert_close(whole(processes, devices), whole(1, 1))


@pytest.fixture(scope="module")
def cut(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of 2 × 2 that was told to stop in the middle."""
    workdir = tmp_path_factory.mktemp("cut") / "run"
    started = run_processes.start(workdir, overrides, processes=2, devices=2)
    run_processes.wait_for(lambda: steps_taken(workdir) >= 6, started)
    started[1].send_signal(signal.SIGTERM)
    assert run_processes.finish(started)[0] == [75, 75]
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("processes, devices", [(1, 1), (1, 8), (3, 1)])
def test_stopped_on_one_topology_a_run_goes_on_on_another(
    processes: int, devices: int, cut: pathlib.Path, overrides: list[str], whole: Run, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(cut, tmp_path / "run")
    run_processes.run(tmp_path / "run", overrides, processes=processes, devices=devices)
    assert_close(tmp_path / "run", whole(1, 1))


@pytest.mark.slow
def test_a_topology_repeats_itself_bit_for_bit(whole: Run, overrides: list[str], tmp_path: pathlib.Path) -> None:
    run_processes.run(tmp_path / "again", overrides, processes=2, devices=2)
    assert_bit_equal(tmp_path / "again", whole(2, 2))
