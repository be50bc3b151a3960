import pathlib
from typing import Any

import numpy as np
import pytest

from mobilenet_v2.errors import ConfigError, WeightsError
from mobilenet_v2.export import exporting, latency, stablehlo
from mobilenet_v2.export.comparison import compare
from mobilenet_v2.export.inference import for_inference, run_source
from mobilenet_v2.models.folding import fold_batch_norm
from tests.export import networks

pytest.importorskip("flatbuffers")


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing takes processes of its own."""
    monkeypatch.setattr(exporting, "median_milliseconds", lambda *arguments: 1.5)


@pytest.mark.usefixtures("untimed")
def test_an_export_is_compared_with_the_network(tmp_path: pathlib.Path) -> None:
    model, variables = networks.network()
    pictures = networks.pictures(40, labels=True)  # more than a batch
    result = exporting.export_network(tmp_path / "f", "stablehlo", model, variables, pictures)
    compared = result.comparison
    assert compared.agreement == 1
    assert 0 < compared.max_difference <= 1e-4 * compared.largest_logit
    assert compared.accuracy == compared.source_accuracy is not None
    assert result.file.bytes == (tmp_path / "f").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_agreement_and_accuracy_are_shares_of_the_pictures() -> None:
    pictures = networks.pictures(40)._replace(labels=np.arange(40, dtype=np.int32) % 5)

    def first(images: np.ndarray) -> np.ndarray:
        return np.tile(np.eye(5, dtype=np.float32)[0], (len(images), 1))

    def second(images: np.ndarray) -> np.ndarray:
        return 3 * np.tile(np.eye(5, dtype=np.float32)[1], (len(images), 1))

    same, other = (compare(first, run, pictures, networks.PREPROCESSING) for run in (first, second))
    assert (same.agreement, same.accuracy, same.max_difference) == (1, 0.2, 0)
    assert (other.agreement, other.accuracy, other.max_difference, other.largest_logit) == (0, 0.2, 3, 1)
    assert compare(first, first, networks.pictures(3), networks.PREPROCESSING).accuracy is None


@pytest.mark.usefixtures("untimed")
def test_a_float_file_that_is_not_the_network_is_not_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, variables = networks.network()
    load = stablehlo.load
    monkeypatch.setattr(stablehlo, "load", lambda path: lambda images: load(path)(images) * 1.1)
    with pytest.raises(ConfigError, match="does not hold this network: logits differ by"):
        exporting.export_network(tmp_path / "f", "stablehlo", model, variables, networks.pictures(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("untimed")
def test_too_few_pictures_to_calibrate_with_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    model, variables = networks.network()
    for calibration in (None, networks.pictures(15)):
        with pytest.raises(ConfigError, match=r"calibration pictures are (0|15), must be at least 16"):
            exporting.export_network(tmp_path / "f", "onnx_int8", model, variables, networks.pictures(2), calibration)
    assert not list(tmp_path.iterdir())


def test_a_network_whose_preprocessing_nobody_knows_is_refused(tmp_path: pathlib.Path) -> None:
    model, variables = networks.network()
    with pytest.raises(WeightsError, match="does not say how images are made ready"):
        exporting.export_network(
            tmp_path / "f", "stablehlo", model.clone(provenance=None), variables, networks.pictures(2)
        )


def test_a_network_that_is_folded_already_is_taken_as_it_is() -> None:
    model, variables = networks.network()
    once = for_inference(model, variables, networks.SIDE, 3)
    images = networks.images(2)
    again = for_inference(*fold_batch_norm(model, variables), networks.SIDE, 3)
    np.testing.assert_allclose(again.logits(images), once.logits(images), rtol=1e-5)
    np.testing.assert_allclose(run_source(model, variables)(images), once.logits(images), rtol=1e-3, atol=1e-4)


def test_latency_is_the_median_of_a_process_of_its_own(tmp_path: pathlib.Path) -> None:
    model, variables = networks.network()
    stablehlo.write_as_is(tmp_path / "f", model, variables, (networks.SIDE, networks.SIDE, 3))
    assert 0 < latency.median_milliseconds(tmp_path / "f", "stablehlo", (networks.SIDE, networks.SIDE, 3)) < 1000
    with pytest.raises(ConfigError, match="was written, but can't be run"):
        latency.median_milliseconds(tmp_path / "absent", "stablehlo", (networks.SIDE, networks.SIDE, 3))


def test_one_core_is_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {2, 5}, raising=False)
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cores: seen.append(cores), raising=False)
    latency.stay_on_one_core()
    assert seen == [{5}]
