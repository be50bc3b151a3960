import json
import pathlib
from collections.abc import Sequence

import pytest

from mobilenet_v2.ablation import sweep, sweep_directory
from mobilenet_v2.ablation.sweep import Sweep
from mobilenet_v2.errors import WorkdirError
from tests.ablation import small_sweep


def write(workdir: pathlib.Path, points: Sequence[str], seeds: Sequence[int]) -> dict[str, list[int]]:
    """Asks for seeds of points, as `ablate` does; returns what `sweep.json` then says by point."""
    config = small_sweep.get_config()
    swept = small_sweep.sweep(config)
    found = sweep_directory.check(workdir, config)
    planned = sweep.plan(swept, config, {point.name: (1, 2) for point in swept.points})
    chosen = [one for one in planned if one.point.name in points]
    sweep_directory.write(workdir, "file.py", config, swept, planned, chosen, seeds, found)
    return {point["name"]: point["seeds"] for point in json.loads((workdir / "sweep.json").read_text())["points"]}


def test_seeds_are_kept_of_each_point_as_they_were_asked_for(tmp_path: pathlib.Path) -> None:
    assert write(tmp_path, ["t2"], [0, 1]) == {"t2": [0, 1], "t3": []}
    assert write(tmp_path, ["t2", "t3"], [1, 2]) == {"t2": [0, 1, 2], "t3": [1, 2]}


def test_a_point_that_the_sweep_has_no_longer_is_kept(tmp_path: pathlib.Path) -> None:
    write(tmp_path, ["t2", "t3"], [0])
    config = small_sweep.get_config()
    swept = Sweep("question", "t2", small_sweep.sweep(config).points[:1])
    planned = sweep.plan(swept, config, {"t2": (1, 2)})
    found = sweep_directory.read(tmp_path)
    sweep_directory.write(tmp_path, "file.py", config, swept, planned, planned, [0], found)
    again = sweep_directory.read(tmp_path)
    assert again is not None
    assert [(point["name"], point["seeds"]) for point in again["points"]] == [("t2", [0]), ("t3", [0])]


def test_a_point_of_other_fields_and_a_sweep_of_another_config_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path, ["t2", "t3"], [0])
    config = small_sweep.get_config()
    swept = Sweep("question", "t2", [sweep.Point("t2", {"model.expansion_factor": 5})])
    with pytest.raises(WorkdirError, match=r"point 't2' is .* and was .* when the sweep began; give it another name"):
        sweep_directory.known_costs(sweep_directory.read(tmp_path), swept)
    config.train.num_steps = 13
    with pytest.raises(WorkdirError, match=r"holds a sweep of another config \(train.num_steps: 12 → 13\)"):
        sweep_directory.check(tmp_path, config)
