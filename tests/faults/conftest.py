import pathlib

import pytest

from tests import run_processes

# A run of a minute at most, that saves often: a kill now and then meets a save.
SETTINGS = {"num_steps": 160, "log_every": 3, "checkpoint_every": 8, "evaluate_every": 40, "keep_checkpoints": 3}


@pytest.fixture(scope="session")
def overrides(data_dir: str) -> list[str]:
    settings = [f"--config.train.{name}={value}" for name, value in SETTINGS.items()]
    return [*settings, f"--config.data.data_dir={data_dir}", "--config.parallel.heartbeat_seconds=10"]


@pytest.fixture(scope="session")
def whole(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An uninterrupted run of one process."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    run_processes.run(workdir, overrides)
    return workdir


@pytest.fixture(scope="session")
def whole_of_two(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An uninterrupted run of two processes."""
    workdir = tmp_path_factory.mktemp("whole_of_two") / "run"
    run_processes.run(workdir, overrides, processes=2)
    return workdir
