import pathlib

import pytest

from tests import run_processes


@pytest.fixture(scope="session")
def overrides(interruptible: list[str]) -> list[str]:
    return interruptible


@pytest.fixture(scope="session")
def whole(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An uninterrupted run of one process."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    run_processes.run(workdir, overrides)
    return workdir
