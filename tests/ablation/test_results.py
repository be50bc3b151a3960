import json
import pathlib

import pytest

from mobilenet_v2.ablation import results
from mobilenet_v2.errors import WorkdirError
from tests.ablation import sweeps


def test_the_test_split_of_averaged_weights_is_compared_where_there_is_one(tmp_path: pathlib.Path) -> None:
    with_test = results.read(sweeps.write(tmp_path / "a", sweeps.expansion_points(), {"t6": [0.6]}))
    without = results.read(sweeps.write(tmp_path / "b", sweeps.expansion_points(), {"t6": [0.6]}, test_split=False))
    assert (with_test.split, without.split) == ("test", "validation")
    assert with_test.measure_text == "test accuracy of averaged weights"
    assert with_test.accuracies("t6") == without.accuracies("t6") == [0.6]
    assert with_test.losses("t6") == [pytest.approx(0.8)]


def test_where_some_runs_have_no_test_split_all_are_compared_on_validation(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]})
    sweeps.run(tmp_path / "t1" / "seed_0", 0.4, test_split=False)
    assert results.read(tmp_path).split == "validation"


def test_where_some_runs_average_no_weights_theirs_are_compared_as_they_are(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]})
    folder = tmp_path / "t1" / "seed_0"
    sweeps.run(folder, 0.5)
    plain = {"accuracy": 0.45, "loss": 1.5}
    (folder / "result.json").write_text(
        json.dumps({"steps": 3, "seconds": 1, "validation": plain, "test": plain}),
    )
    found = results.read(tmp_path)
    assert (found.accuracies("t1"), found.losses("t1"), found.accuracies("t6")) == ([0.45], [1.5], [0.6])
    assert found.measure_text == "test accuracy of averaged weights, or of the weights of runs without"


def test_every_point_is_there_and_those_with_a_score_are_known(tmp_path: pathlib.Path) -> None:
    found = results.read(sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]}))
    assert len(found.points) == 9
    assert [point["name"] for point in found.finished] == ["t6"]
    assert [row.status for row in found.of_point("t1")] == ["not begun"] * 3


def test_a_sweep_whose_seeds_were_asked_for_all_points_at_once_is_read(tmp_path: pathlib.Path) -> None:
    sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.6]})
    sweep = json.loads((tmp_path / "sweep.json").read_text())
    for point in sweep["points"]:
        del point["seeds"]
    (tmp_path / "sweep.json").write_text(json.dumps({**sweep, "seeds": [0, 1]}))
    assert [row.seed for row in results.read(tmp_path).of_point("t1")] == [0, 1]


def test_a_folder_that_can_not_be_reported_on_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkdirError, match="does not exist, must be the folder of a sweep"):
        results.read(tmp_path / "none")
    with pytest.raises(WorkdirError, match=r"holds no sweep\.json"):
        results.read(tmp_path)
    sweeps.write(tmp_path, sweeps.expansion_points(), {})
    with pytest.raises(WorkdirError, match=r"no finished run yet: 27 not begun$"):
        results.read(tmp_path)
    (tmp_path / "t6").mkdir()
    (tmp_path / "t6" / "seed_0.error").write_text("ended with status 2\nerror: no such data\n")
    with pytest.raises(WorkdirError, match=r"no finished run yet: 1 failed, 26 not begun\. t6/seed_0: no such data"):
        results.read(tmp_path)
    (tmp_path / "sweep.json").write_text('{"points": []}')
    with pytest.raises(WorkdirError, match=r"sweep\.json' is damaged: it has no 'question'"):
        results.read(tmp_path)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(WorkdirError, match=r"sweep\.json' is damaged"):
        results.read(tmp_path)
