import pathlib

import pytest

from mobilenet_v2.ablation import estimate, sweep, sweep_directory
from mobilenet_v2.ablation.sweep_directory import Run
from mobilenet_v2.data.sources import Dataset, open_configured
from tests.ablation import small_sweep, sweeps

COSTS = {"t2": (1_000, 20_000), "t3": (1_500, 30_000)}


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> list[Run]:
    """Of t = 2 and t = 3, of two seeds."""
    config = small_sweep.get_config()
    return sweep_directory.runs_of(tmp_path, sweep.plan(small_sweep.sweep(config), config, COSTS), [0, 1])


@pytest.fixture(scope="module")
def dataset(data_dir: str) -> Dataset:
    config = small_sweep.get_config()
    config.data.data_dir = data_dir
    return open_configured(config.data, prepare=True)


def test_work_grows_with_multiply_adds_pictures_and_steps(runs: list[Run], dataset: Dataset) -> None:
    small, large = runs[0].planned, runs[1].planned
    config = small.config
    assert estimate.work(small, dataset) == config.train.num_steps * config.train.batch_size * 20_000
    assert estimate.work(large, dataset) == 1.5 * estimate.work(small, dataset)


def test_finished_runs_tell_how_long_the_others_will_take(runs: list[Run], dataset: Dataset) -> None:
    assert estimate.measured(runs, dataset) is None
    sweeps.run(runs[0].folder, 0.5)
    taken = runs[0].result["seconds"]  # type: ignore[index]
    per_unit = estimate.measured(runs, dataset)
    assert per_unit is not None
    assert estimate.seconds_of(runs, dataset, per_unit) == pytest.approx(2 * (taken + 1.5 * taken))
    assert estimate.seconds_of(runs, dataset, 0.0, start=30.0) == 120.0


def test_without_any_a_few_steps_are_taken_and_what_goes_wrong_is_told(runs: list[Run]) -> None:
    found = estimate.tried(runs[0].planned, ["--config=tests/ablation/small_sweep.py"], jobs=1)
    assert isinstance(found, float)
    assert found > 0
    wrong = estimate.tried(
        runs[0].planned, ["--config=tests/ablation/small_sweep.py", "--config.train.batch=1"], jobs=2
    )
    assert isinstance(wrong, str)
    assert "train.batch" in wrong
