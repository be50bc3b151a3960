import os
import pathlib

# Read when JAX is imported, here and in the processes that tests start: the second run of the tests compiles nothing.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path.home() / ".cache" / "mobilenet_v2" / "jax-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import pytest
from ml_collections import ConfigDict

from mobilenet_v2.data.sources import open_dataset
from tests import run_processes, tiny


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own in a common one.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tensorflow_datasets"
    open_dataset("digits", str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def interruptible(data_dir: str) -> list[str]:
    """Overrides of a run that is long enough to be interrupted."""
    return run_processes.longer_run(data_dir)


@pytest.fixture(scope="session")
def whole_of_two(interruptible: list[str], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An uninterrupted run of two processes."""
    workdir = tmp_path_factory.mktemp("whole_of_two") / "run"
    run_processes.run(workdir, interruptible, processes=2)
    return workdir


@pytest.fixture
def tiny_config(data_dir: str) -> ConfigDict:
    config = tiny.get_config()
    config.data.data_dir = data_dir
    return config
