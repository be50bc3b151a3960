import json
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_default_training_reads_digits_and_evaluate_repeats_its_result(
    data_dir: str, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    command = ["train.py", "--config=configs/digits.py", f"--workdir={run}", f"--config.data.data_dir={data_dir}"]
    subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, capture_output=True)
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["ema_accuracy"] > 0.98
    assert result["test"]["accuracy"] > 0.98
    command = ["-m", "mobilenet_v2", "evaluate", f"--workdir={run}", "--json"]
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {"step": 943, "validation": result["validation"], "test": result["test"]}
