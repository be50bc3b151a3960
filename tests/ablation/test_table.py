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
    return dict(zip(table.headers(found), row, strict=True))


def csv_rows(found: results.Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv_text(found))))


def test_a_csv_row_has_what_was_varied_and_what_came_of_it(found: results.Results) -> None:
    rows = csv_rows(found)
    assert sum(row["status"] == "finished" for row in rows) == 10
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
    rows = [row for row in csv_rows(results.read(tmp_path)) if row["status"] == "finished"]
    assert [row["model.width_multiplier"] for row in rows] == ["0.25", "1.0"]


def test_losses_stand_beside_accuracies(found: results.Results) -> None:
    (row,) = [row for row in csv_rows(found) if (row["point"], row["seed"]) == ("t3", "1")]
    losses = [row[f"{split}_{name}"] for split in ("validation", "test") for name in ("loss", "ema_loss")]
    assert losses == ["1.0", "0.98", "1.0", "0.98"]
    assert cells(found, "t6")["validation loss, nats"] == "0.780 ± 0.012"


def test_the_baseline_comes_first_and_the_others_are_compared_with_it(found: results.Results) -> None:
    assert table.table_rows(found)[0][0] == "t6"
    assert cells(found, "t6")["difference, points"] == "baseline"
    assert cells(found, "t6")["test accuracy, %"] == "61.00 ± 0.58"
    assert cells(found, "t3")["difference, points"] == "-11.00"
    assert cells(found, "t3")["differs"] == "yes"
    assert cells(found, "t1")["differs"] == "not established"


def test_a_point_of_few_seeds_says_so_and_does_not_differ(found: results.Results, tmp_path: pathlib.Path) -> None:
    assert cells(found, "t2")["seeds"] == "1 of 3"
    assert cells(found, "t2")["remarks"] == "fewer than 3 seeds, 2 not begun"
    assert cells(found, "t2")["differs"] == "too few seeds"
    sweeps.run(tmp_path / "t2" / "seed_1", 0.31)
    two = cells(results.read(tmp_path), "t2")
    assert two["difference, points"] == "-30.50"
    assert two["differs"] == "too few seeds"


def test_what_must_be_known_stands_below_the_table(found: results.Results) -> None:
    text = table.markdown(found)
    assert "**Fewer than 3 seeds**: t2." in text
    assert "test accuracy of averaged weights after the last step, never the best one" in text
    assert "The test split is scored once a run, after its last step; nothing is chosen by it." in text
    assert "bootstrap's hold the true difference in 80, 88 and 92 of 100 cases" in text
    assert "Only if both exclude 0 does a point differ" in text
    assert "`configs/ablations/expansion_factor.py` on the data set digits, 16 pixels a side, 24 epochs" in text
    assert text.count(" steps in a run.\n") == 1
    assert "Of 2 such comparisons up to 0.1 would seem to differ by chance alone" in text
    assert "10 finished runs, 0.1 hours of training, on cpu." in text


def test_a_point_that_nothing_was_begun_of_is_named_below_the_table(found: results.Results) -> None:
    assert "t10" not in [row[0] for row in table.table_rows(found)]
    assert "**Not begun**: t3-equal-cost, t10, " not in table.markdown(found)
    assert "**Not begun**: t1-equal-cost, t2-equal-cost, t3-equal-cost, t10, t10-equal-cost." in table.markdown(found)
    rows = [row for row in csv_rows(found) if row["point"] == "t10"]
    assert [(row["seed"], row["status"], row["test_accuracy"]) for row in rows] == [
        (seed, "not begun", "") for seed in "012"
    ]


def test_a_run_that_diverged_is_told_and_not_counted(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), RUNS)
    sweeps.replicas(tmp_path / "t10" / "seed_0", [0.7, None, 0.72])
    found = results.read(tmp_path)
    row = cells(found, "t10")
    assert (row["seeds"], row["test accuracy, %"]) == ("2 of 3", "71.00 ± 1.00")
    assert row["remarks"] == "fewer than 3 seeds, 1 diverged"
    text = table.markdown(found)
    assert "**Diverged and not counted**: t10 seed 1 (loss, gradient or outputs not finite at step 150)." in text
    assert "flatter a point of which some did" in text
    (row,) = [row for row in csv_rows(found) if (row["point"], row["seed"]) == ("t10", "1")]
    assert (row["status"], row["test_accuracy"]) == ("diverged", "")
    assert row["reason"] == "loss, gradient or outputs not finite at step 150"


def test_a_run_that_failed_is_told_with_its_reason(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), RUNS)
    sweeps.run(tmp_path / "t10" / "seed_0", 0.4, result=False)
    for seed in (1, 2):
        (tmp_path / "t10" / f"seed_{seed}.error").write_text("ended with status 2\nerror: no such file; try again\n")
    found = results.read(tmp_path)
    assert cells(found, "t10")["remarks"] == "fewer than 3 seeds, 2 failed, 1 unfinished"
    text = table.markdown(found)
    assert "**Failed and not counted**: t10 seed 1, t10 seed 2 (no such file)." in text
    assert "**Unfinished and not counted**: t10 seed 0 (stopped or still running, last scored at step 300)." in text


def test_without_a_test_split_the_table_says_so(tmp_path: pathlib.Path) -> None:
    found = results.read(sweeps.write(tmp_path, sweeps.expansion_points(), RUNS, test_split=False))
    assert "There is no test split" in table.markdown(found)
    assert cells(found, "t6")["validation accuracy, %"] == "61.00 ± 0.58"
