import pathlib

import pytest

from mobilenet_v2.ablation import rows
from mobilenet_v2.errors import WorkdirError
from tests.ablation import sweeps


def test_a_run_is_a_row_with_its_last_and_its_best_accuracy(tmp_path: pathlib.Path) -> None:
    sweeps.run(tmp_path / "t6" / "seed_0", 0.6)
    sweeps.run(tmp_path / "t6" / "seed_1", 0.62)
    first, second = rows.of_point(tmp_path, "t6", [0, 1], 1)
    assert [(row.seed, row.status, row.reason) for row in (first, second)] == [(0, "finished", ""), (1, "finished", "")]
    assert first.scores["test"]["ema_accuracy"] == 0.6
    assert first.scores["validation"]["ema_loss"] == 0.8
    assert first.best == {"accuracy": (200, pytest.approx(0.69)), "ema_accuracy": (200, pytest.approx(0.7))}
    assert first.curve == [(100, 0.3), (200, pytest.approx(0.7)), (300, 0.6)]
    assert first.environment == {"jax": "0.10.2", "device": "cpu", "commit": "abc"}
    assert first.folder == "t6/seed_0"


def test_how_a_run_without_a_result_ended_is_told(tmp_path: pathlib.Path) -> None:
    for seed in range(2):
        sweeps.run(tmp_path / "t6" / f"seed_{seed}", 0.4, result=False)
    (tmp_path / "t6" / "seed_1.error").write_text("ended with status 2\nstep 3\nerror: no data\nbye\n")
    (tmp_path / "t6" / "seed_2.error").write_text("ended with status 2\nerror: step 7 is not finite; it was lost\n")
    (tmp_path / "t6" / "seed_3.error").write_text("ended with status -9\n")
    (tmp_path / "t6" / "seed_4.log").write_text("")
    found = rows.of_point(tmp_path, "t6", range(6), 1)
    assert [(row.status, row.reason) for row in found] == [
        ("unfinished", "stopped or still running, last scored at step 300"),
        ("failed", "no data"),
        ("diverged", "step 7 is not finite"),
        ("failed", "ended with status -9"),
        ("unfinished", "stopped or still running, not scored yet"),
        ("not begun", "not begun"),
    ]
    assert all(row.scores == {} for row in found)
    assert len(found[0].curve) == 3


def test_seeds_are_ordered_as_numbers(tmp_path: pathlib.Path) -> None:
    for seed in range(12):
        sweeps.run(tmp_path / "t6" / f"seed_{seed}", seed / 100)
    (tmp_path / "t6" / "seed_of_mine").mkdir()
    assert [row.seed for row in rows.of_point(tmp_path, "t6", [], 1)] == list(range(12))


def test_several_replicas_of_a_run_are_several_rows(tmp_path: pathlib.Path) -> None:
    sweeps.replicas(tmp_path / "t6" / "seed_0", [0.5, 0.6])
    found = rows.of_point(tmp_path, "t6", range(2), 2)
    assert [(row.seed, row.scores["test"]["ema_accuracy"]) for row in found] == [(0, 0.5), (1, 0.6)]
    assert [row.curve[-1] for row in found] == [(300, 0.5), (300, 0.6)]
    assert {row.folder for row in found} == {"t6/seed_0"}


def test_a_replica_that_diverged_has_a_curve_up_to_there_and_no_score(tmp_path: pathlib.Path) -> None:
    sweeps.replicas(tmp_path / "t6" / "seed_0", [0.5, None, 0.6])
    found = rows.of_point(tmp_path, "t6", range(3), 3)
    assert [row.status for row in found] == ["finished", "diverged", "finished"]
    assert found[1].reason == "loss, gradient or outputs not finite at step 150"
    assert found[1].scores == {}
    assert [step for step, _ in found[1].curve] == [100]
    assert [len(row.curve) for row in found] == [3, 1, 3]


def test_a_run_of_replicas_that_goes_on_is_a_row_each(tmp_path: pathlib.Path) -> None:
    sweeps.replicas(tmp_path / "t6" / "seed_2", [0.5, 0.6])
    (tmp_path / "t6" / "seed_2" / "result.json").unlink()
    found = rows.of_point(tmp_path, "t6", range(4), 2)
    assert [(row.seed, row.status) for row in found] == [
        (0, "not begun"),
        (1, "not begun"),
        (2, "unfinished"),
        (3, "unfinished"),
    ]


@pytest.mark.parametrize("name", ["metrics.jsonl", "environment.json", "result.json"])
@pytest.mark.parametrize("text", ["{\n", "[1]\n", '{"event": "validation"}\n'])
def test_a_damaged_file_is_named(name: str, text: str, tmp_path: pathlib.Path) -> None:
    sweeps.run(tmp_path / "t6" / "seed_0", 0.5)
    (tmp_path / "t6" / "seed_0" / name).write_text(text)
    with pytest.raises(WorkdirError, match=f"{name}' is damaged"):
        rows.of_point(tmp_path, "t6", [0], 1)
