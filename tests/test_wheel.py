"""The package as pip installs it, without what only training needs, seen from outside of the repository."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# What a notebook does first, with random weights.
USE = """
import importlib.util, json, pathlib
import numpy as np
import mobilenet_v2 as mnv2
from mobilenet_v2.models.variants import PREPROCESSING
model = mnv2.create_model("mobilenet_v2", width_multiplier=0.25, num_classes=1000)
told = mnv2.with_preprocessing(model, PREPROCESSING["keras"])
found = mnv2.predict(told, mnv2.init(model), np.zeros((40, 50, 3), np.uint8))
print(json.dumps({
    "folder": str(pathlib.Path(mnv2.__file__).parent),
    "parameters": mnv2.summarize(mnv2.create_model()).cost.parameters,
    "classes": len(found[0]),
    "installed": [name for name in ("tensorflow", "torch", "grain") if importlib.util.find_spec(name)],
}))
"""
# Seconds of imports after JAX's own, the best of three processes each.
SECONDS = """
import sys, time
import jax
started = time.perf_counter()
import mobilenet_v2 as mnv2
mnv2.create_model, mnv2.summarize, mnv2.predict
print(time.perf_counter() - started)
"""


def run(command: Sequence[str | os.PathLike[str]], folder: pathlib.Path, status: int = 0) -> str:
    """What it prints on either stream, in an environment that knows nothing of the repository."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with nothing in it but `venv`, in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "repository"
    names = [path.name for path in REPOSITORY.glob("requirements*.txt")]
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *names):
        shutil.copy(REPOSITORY / name, source)
    for name in ("mobilenet_v2", "configs"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run([sys.executable, "-m", "venv", "venv"], folder)
    pip = [folder / "venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", source.parent, source], folder)
    (wheel,) = source.parent.glob("*.whl")
    run([*pip, "install", "--constraint", REPOSITORY / "constraints.txt", wheel], folder)
    return folder


def test_the_notebook_s_api_works_without_tensorflow_torch_and_what_training_needs(installed: pathlib.Path) -> None:
    said = json.loads(run([installed / "venv/bin/python", "-W", "ignore", "-c", USE], installed).splitlines()[-1])
    assert pathlib.Path(said["folder"]).is_relative_to(installed / "venv")
    assert said["parameters"] == 3_504_872
    assert said["classes"] == 5
    assert said["installed"] == []


def test_how_long_the_import_takes_is_printed(installed: pathlib.Path) -> None:
    seconds = [float(run([installed / "venv/bin/python", "-c", SECONDS], installed)) for _ in range(3)]
    print(f"importing the notebook's API takes {min(seconds):.2f} s beyond JAX's own import")


def test_the_command_is_there_and_names_the_extra_that_it_lacks(installed: pathlib.Path) -> None:
    command = installed / "venv/bin/mobilenet-v2"
    assert "predict" in run([command, "--help"], installed)
    said = run([command, "train", "--help"], installed, status=2)
    assert "the extra 'train'" in said
    assert said.count("\n") == 1


def test_configs_and_what_the_package_reads_are_in_the_wheel(installed: pathlib.Path) -> None:
    (site,) = installed.glob("venv/lib/python*/site-packages")
    for package in ("configs", "mobilenet_v2"):
        expected = {path.relative_to(REPOSITORY) for path in (REPOSITORY / package).rglob("*") if path.is_file()}
        expected = {path for path in expected if "__pycache__" not in path.parts}
        assert {path for path in expected if not (site / path).is_file()} == set()
    config = site / "configs" / "digits.py"
    command = [installed / "venv/bin/mobilenet-v2", "summary", f"--config={config}", "--json"]
    assert json.loads(run(command, installed))["parameters"] == 700_490
