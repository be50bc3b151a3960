import csv
import io
import pathlib

import pytest

from mobilenet_v2.ablation import results, table
from tests.ablation import sweeps

RUNS = {"t6": [0.60, 0.62, 0.61], "t3": [0.50, 0.51, 0.49], "t1": [0.61, 0.60, 0.62], "t2": [0.3]}


@pytest.fixture
def found(tmp_path: pathlib.Path) -> results.Results:
    return results.read(sweeps.write(tmp_path, sweeps.expansion_points(), RUNS))


def cells(found: results.Results, point: str) -> dict[str, str]:
    (row,) = [row for row in table.table_rows(found) if row[0] == point]
    return dict(zip(table.HEADERS, row, strict=True))


def test_a_csv_row_has_what_was_varied_and_what_came_of_it(found: results.Results) -> None:
    rows = list(csv.DictReader(io.StringIO(table.csv_text(found))))
    assert len(rows) == 10
    (row,) = [row for row in rows if (row["point"], row["seed"]) == ("t3", "1")]
    assert row["group"] == "equal width"
    assert row["model.expansion_factor"] == row["x"] == "3"
    assert row["multiply_adds"] == "3000000"
    assert float(row["test_ema_accuracy"]) == 0.51
    assert float(row["validation_accuracy"]) == pytest.approx(0.5)
    assert float(row["best_validation_ema_accuracy"]) == pytest.approx(0.61)
    assert (row["best_validation_ema_accuracy_step"], row["steps"], row["seconds"]) == ("200", "300", "36.0")
    assert (row["jax"], row["device"], row["status"]) == ("0.10.2", "cpu", "finished")


def test_a_field_that_a_point_leaves_alone_has_the_base_configs_value(tmp_path: pathlib.Path) -> None:
    points = [sweeps.point("t6"), sweeps.point("w1", **{"model.width_multiplier": 1.0})]
    sweeps.write(tmp_path, points, {"t6": [0.5], "w1": [0.5]})
    rows = list(csv.DictReader(io.StringIO(table.csv_text(results.read(tmp_path)))))
    assert [row["model.width_multiplier"] for row in rows] == ["0.25", "1.0"]


def test_the_baseline_comes_first_and_the_others_are_compared_with_it(found: results.Results) -> None:
    assert table.table_rows(found)[0][0] == "t6"
    assert cells(found, "t6")["difference"] == "baseline"
    assert cells(found, "t6")["accuracy, %"] == "61.00 ± 0.58"
    assert cells(found, "t3")["difference"] == "-11.00"
    assert cells(found, "t3")["differs"] == "yes"
    assert cells(found, "t1")["differs"] == "not shown"
    assert cells(found, "t2")["differs"] == "needs two seeds of both"


def test_few_seeds_and_missing_runs_are_named(found: results.Results, tmp_path: pathlib.Path) -> None:
    text = table.markdown(found)
    assert "**Fewer than 3 seeds**: t2." in text
    assert "test accuracy of averaged weights after the last step, never the best one" in text
    assert "of 2 such comparisons 0.1 would seem to by chance alone" in text
    sweeps.run(tmp_path / "t10" / "seed_0", 0.4, result=False)
    text = table.markdown(results.read(tmp_path))
    assert "Unfinished and not counted: t10 seed 0." in text
    assert "no finished run" in text


def test_without_a_test_split_the_table_says_so(tmp_path: pathlib.Path) -> None:
    found = results.read(sweeps.write(tmp_path, sweeps.expansion_points(), RUNS, test_split=False))
    assert "There is no test split" in table.markdown(found)
