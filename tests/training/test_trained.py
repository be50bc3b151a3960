import json
import logging
import pathlib
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from mobilenet_v2.commands import evaluate, import_weights
from mobilenet_v2.errors import UserError, WeightsError
from mobilenet_v2.training import loop, trained
from mobilenet_v2.weights.load import load_pretrained

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def run(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> pathlib.Path:
    tiny_config.train.update(num_steps=4, log_every=4)
    loop.run(tiny_config, str(tmp_path / "run"))
    return tmp_path / "run"


def test_a_run_becomes_a_file_of_the_same_network_variables_and_score(
    run: pathlib.Path, tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "weights.safetensors"
    import_weights.main(["import_weights", f"--weights={run}", f"--output={output}"])
    assert "run: averaged variables of step 4, " in capsys.readouterr().out
    model, variables = trained.load_run(run)
    again, read = load_pretrained(output)
    assert (again.stages, again.stem_stride, again.num_classes) == (model.stages, 1, 10)
    expected = flatten_dict(jax.device_get(variables), sep="/")
    for name, array in flatten_dict(jax.device_get(read), sep="/").items():
        np.testing.assert_array_equal(array, expected[name])
    capsys.readouterr()
    data = f"--config.data.data_dir={tiny_config.data.data_dir}"
    for weights in (run, output):
        flags = [f"--weights={weights}", "--config=tests/tiny.py", data, "--json"]
        evaluate.main(["evaluate", *flags])
        scores = json.loads(capsys.readouterr().out)
        result = json.loads((run / "result.json").read_text())
        assert scores["test"]["accuracy"] == pytest.approx(result["test"]["ema_accuracy"])
        assert scores["test"]["loss"] == pytest.approx(result["test"]["ema_loss"], rel=1e-5)


def test_a_notebook_reads_a_run_in_one_line_of_its_own(
    run: pathlib.Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    capfd.readouterr()
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="absl"):
        trained.load_run(run)
    assert caplog.messages == []
    said, warned = capfd.readouterr()
    assert re.fullmatch(r"run: averaged variables of step 4, \d+ arrays, sha256 of their bytes [0-9a-f]{12}…\n", said)
    assert warned == ""


def test_a_folder_without_a_run_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        trained.load_run(tmp_path)
    with pytest.raises(WeightsError, match="no checkpoint yet"):
        trained.read_run(tmp_path)


def test_a_misspelt_run_beside_others_is_not_looked_for_on_the_hub(
    run: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent.parent)
    with pytest.raises(WeightsError, match=f"folder '{run.parent.name}' is here, and holds no such thing"):
        trained.import_weights(f"{run.parent.name}/rum")
