import pathlib

import pytest

from tests import run_processes


@pytest.fixture(scope="session")
def overrides(data_dir: str) -> list[str]:
    return run_processes.longer_run(data_dir)


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
