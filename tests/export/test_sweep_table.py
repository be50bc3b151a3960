import csv
import pathlib

import pytest
from ml_collections import ConfigDict

from mobilenet_v2.commands import export_sweep
from mobilenet_v2.errors import ConfigError, WorkdirError
from mobilenet_v2.export import sweep_table
from mobilenet_v2.export.comparison import Comparison
from mobilenet_v2.export.sweep_table import Scored
from mobilenet_v2.training import loop
from tests.ablation import sweeps

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def scored(point: str, seed: int, network: float, file: float) -> Scored:
    return Scored(point, seed, "onnx_int8", Comparison("270 of 270 pictures", 0.5, 9.0, 0.98, file, network))


def test_the_table_has_a_row_a_point_and_how_much_more_it_loses_than_the_baseline() -> None:
    rows = [scored("relu6", seed, 0.98, 0.97 + 0.001 * seed) for seed in range(3)]
    rows += [scored("relu", seed, 0.98, 0.90 + 0.001 * seed) for seed in range(3)]
    lines = sweep_table.markdown(rows, "relu6").splitlines()
    assert lines[2] == "| relu6 | onnx_int8 | 3 | 98.00 ± 0.00 | 97.10 ± 0.06 | 98.00 ± 0.00 | 0.90 ± 0.06 |  |"
    assert lines[3].startswith(
        "| relu | onnx_int8 | 3 | 98.00 ± 0.00 | 90.10 ± 0.06 | 98.00 ± 0.00 | 7.90 ± 0.06 | +7.00 ["
    )
    assert "270 of 270 pictures" in lines[-1]


def test_of_one_seed_nothing_is_said_of_differences() -> None:
    rows = [scored("relu6", 0, 0.98, 0.97), scored("relu", 0, 0.98, 0.90)]
    assert sweep_table.markdown(rows, "relu6").splitlines()[3].endswith("| 8.00 | — |")


def test_a_row_of_the_csv_is_a_run_in_a_format() -> None:
    (row,) = csv.DictReader(sweep_table.csv_text([scored("relu", 2, 0.5, 0.25)]).splitlines())
    assert (row["point"], row["seed"], row["format"]) == ("relu", "2", "onnx_int8")
    assert (row["source_accuracy"], row["accuracy"], row["lost"]) == ("0.5", "0.25", "0.25")


def test_every_finished_run_of_a_sweep_is_exported_and_scored(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("flatbuffers")
    workdir = sweeps.write(tmp_path / "sweep", [sweeps.point("relu6")], {}, baseline="relu6")
    tiny_config.train.update(num_steps=4, log_every=4)
    loop.run(tiny_config, str(workdir / "relu6" / "seed_0"))
    output = tmp_path / "table"
    export_sweep.main(["export_sweep", f"--workdir={workdir}", f"--output={output}", "--formats=stablehlo"])
    assert "relu6/seed_0, stablehlo: " in capsys.readouterr().out
    (row,) = csv.DictReader((output / "runs.csv").read_text().splitlines())
    assert row["pictures"] == "40 of 40 pictures in digits test[:40]"
    assert (row["agreement"], row["lost"]) == ("1.0", "0.0")
    assert "| relu6 | stablehlo | 1 |" in (output / "table.md").read_text()


def test_runs_without_checkpoints_and_unknown_formats_are_one_line(tmp_path: pathlib.Path) -> None:
    workdir = sweeps.write(tmp_path / "sweep", [sweeps.point("relu6")], {"relu6": [0.5]}, baseline="relu6")
    with pytest.raises(WorkdirError, match=r"'relu6/seed_0' has no checkpoints any more: train with `ablate --keep="):
        sweep_table.score(workdir, [], 16)
    with pytest.raises(ConfigError, match="--format is 'int8'"):
        sweep_table.score(workdir, ["int8"], 16)
    with pytest.raises(WorkdirError, match="does not exist"):
        sweep_table.score(tmp_path / "absent", ["stablehlo"], 16)
