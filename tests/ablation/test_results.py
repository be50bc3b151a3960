import json
import pathlib

import pytest

from mobilenet_v2.ablation import results
from mobilenet_v2.errors import WorkdirError
from tests.ablation import sweeps


def test_a_run_is_a_row_with_its_last_and_its_best_accuracy(tmp_path: pathlib.Path) -> None:
    found = results.read(sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6, 0.62]}))
    assert [(row.point, row.seed, row.status) for row in found.rows] == [("t6", 0, "finished"), ("t6", 1, "finished")]
    first = found.rows[0]
    assert first.scores["test"]["ema_accuracy"] == 0.6
    assert first.best == {"accuracy": (200, pytest.approx(0.69)), "ema_accuracy": (200, pytest.approx(0.7))}
    assert first.curve == [(100, 0.3), (200, pytest.approx(0.7)), (300, 0.6)]
    assert first.environment == {"jax": "0.10.2", "device": "cpu", "commit": "abc"}


def test_the_test_split_of_averaged_weights_is_compared_where_there_is_one(tmp_path: pathlib.Path) -> None:
    with_test = results.read(sweeps.write(tmp_path / "a", sweeps.expansion_points(), {"t6": [0.6]}))
    without = results.read(sweeps.write(tmp_path / "b", sweeps.expansion_points(), {"t6": [0.6]}, test_split=False))
    assert (with_test.split, without.split) == ("test", "validation")
    assert with_test.measure == "ema_accuracy"
    assert with_test.accuracies("t6") == without.accuracies("t6") == [0.6]


def test_runs_that_failed_or_go_on_are_rows_without_scores(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]})
    sweeps.run(tmp_path / "t1" / "seed_0", 0.4, result=False)
    sweeps.run(tmp_path / "t2" / "seed_0", 0.4, result=False)
    (tmp_path / "t2" / "seed_0.error").write_text("ended with status 2\n")
    found = results.read(tmp_path)
    assert {row.point: row.status for row in found.rows} == {"t6": "finished", "t1": "unfinished", "t2": "failed"}
    assert found.accuracies("t1") == found.accuracies("t2") == []


def test_seeds_are_ordered_as_numbers(tmp_path: pathlib.Path) -> None:
    found = results.read(sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [n / 100 for n in range(12)]}))
    assert [row.seed for row in found.rows] == list(range(12))


def test_several_replicas_of_a_run_are_several_rows(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]})
    folder = tmp_path / "t6" / "seed_0"
    replicas = [{"seed": seed, "test": {"accuracy": 0.5 + seed / 10, "ema_accuracy": 0.6}} for seed in (0, 1)]
    (folder / "result.json").write_text(json.dumps({"steps": 3, "seconds": 1.0, "replicas": replicas}))
    row = {"event": "validation", "step": 3, "accuracy": [0.1, 0.2], "ema_accuracy": [0.3, 0.4], "loss": [1, 1]}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    found = results.read(tmp_path)
    assert [(row.seed, row.scores["test"]["accuracy"]) for row in found.rows] == [(0, 0.5), (1, 0.6)]
    assert [row.curve for row in found.rows] == [[(3, 0.3)], [(3, 0.4)]]


def test_a_folder_that_can_not_be_reported_on_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkdirError, match="does not exist, must be the folder of a sweep"):
        results.read(tmp_path / "none")
    with pytest.raises(WorkdirError, match=r"holds no sweep\.json"):
        results.read(tmp_path)
    sweeps.write(tmp_path, sweeps.expansion_points(), {})
    with pytest.raises(WorkdirError, match="no finished run yet; 0 are begun"):
        results.read(tmp_path)
    sweeps.run(tmp_path / "t6" / "seed_0", 0.5)
    (tmp_path / "t6" / "seed_0" / "metrics.jsonl").write_text("{\n")
    with pytest.raises(WorkdirError, match=r"metrics\.jsonl' is damaged"):
        results.read(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(WorkdirError, match=r"sweep\.json' is damaged"):
        results.read(tmp_path)
