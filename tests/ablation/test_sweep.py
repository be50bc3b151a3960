import pathlib
from typing import Any

import pytest
from ml_collections import ConfigDict

from mobilenet_v2.ablation import sweep
from mobilenet_v2.ablation.sweep import Point, Sweep
from mobilenet_v2.errors import ConfigError
from tests import tiny

T2, T3 = Point("t2", {"model.expansion_factor": 2}), Point("t3", {"model.expansion_factor": 3})


def planned(*points: Point, baseline: str = "t2") -> list[sweep.Planned]:
    return sweep.plan(Sweep("question", baseline, points), tiny.get_config())


def test_a_point_is_the_base_config_with_its_own_fields_and_what_its_network_costs() -> None:
    two, three = planned(T2, T3)
    assert (two.config.model.expansion_factor, three.config.model.expansion_factor) == (2, 3)
    assert three.config.data == tiny.get_config().data
    stages = {"model.stages": ((1, 8, 1, 1), (3, 16, 2, 2))}
    (wider,) = planned(Point("t2", stages))
    assert wider.config.model.stages == stages["model.stages"]
    assert wider.multiply_adds > planned(T2)[0].multiply_adds


def test_what_was_counted_before_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep.cost, "count", None)
    (one,) = sweep.plan(Sweep("question", "t2", [T2]), tiny.get_config(), {"t2": (7, 9)})
    assert (one.parameters, one.multiply_adds) == (7, 9)


@pytest.mark.parametrize(
    "points, says",
    [
        ([], "the sweep has no points, must have at least one"),
        ([T2, Point("t2", {})], "points named 't2' and 't2', which must differ"),
        ([T2, Point("T2", {})], "points named 't2' and 'T2', which must differ"),
        ([T2, Point("a/b", {})], "a point named 'a/b', must be letters, digits"),
        ([T2, Point("..", {})], r"a point named '\.\.', must be letters, digits"),
        ([T3], "the sweep's baseline is 't2', must be one of its points: t3"),
        (
            [T2, Point("x", {"model.expansion_facto": 3})],
            "point 'x' of the sweep: config has no field 'model.expansion_facto'; did you mean 'model.expansion_fac",
        ),
        ([T2, Point("x", {"model.expansion_factor": 0})], "point 'x' .*expansion_factor is 0, must be an integer"),
        ([T2, Point("x", {"model.expansion_factor": "3"})], "point 'x' .*expansion_factor is '3', must be an integer"),
        ([T2, Point("x", {"seed": 3})], "point 'x' .*config.seed is no field for a sweep to vary"),
        ([T2, Point("x", {"data.data_dir": "a"})], "config.data.data_dir is no field for a sweep to vary"),
        ([T2, Point("x", {"data.image_size": 1})], "point 'x' .*config.data.image_size is 1, must be at least 2"),
        ([T2, Point("x", {"model.expansion_factor": 2})], "points 't2' and 'x' of the sweep are one config"),
        ([T2, Point("x", {"model.stages": ((1, 8),)})], r"point 'x' .*config.model.stages\[0\] is \(1, 8\)"),
    ],
)
def test_a_sweep_that_can_not_be_meant_is_one_line(points: list[Point], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        planned(*points)


@pytest.mark.parametrize(
    "text, says",
    [
        ('"q", "a", {"a": {}}', "the sweep's points are of type dict, must be a list of Point"),
        ('"q", "a", [("a", {})]', r"the sweep's points have \('a', {}\), must be a list of Point"),
        ('None, "a", [Point("a", {})]', "the sweep's question is None, must be text"),
        ('"q", "a", [Point("a", None)]', "point 'a' has overrides None, must be {field: value}"),
        ('"q", "a", [Point("a", {}, group=3)]', "point 'a' has group 3, must be text"),
        ('"q", "a", [Point("a", {}, x="2")]', "point 'a' has x '2', must be a finite number or None"),
        ('"q", "a", [Point("a", {}, x=float("nan"))]', "point 'a' has x nan, must be a finite number or None"),
    ],
)
def test_a_sweep_of_other_types_is_one_line(text: str, says: str, tmp_path: pathlib.Path) -> None:
    head = "from mobilenet_v2.ablation.sweep import Point, Sweep\n"
    (tmp_path / "file.py").write_text(f"{head}def sweep(config): return Sweep({text})\n")
    with pytest.raises(ConfigError, match=says):
        sweep.load(str(tmp_path / "file.py"), ConfigDict())


def test_points_are_chosen_by_name() -> None:
    both = Sweep("question", "t2", [T2, T3])
    assert sweep.chosen_names(both, "t3") == ["t3"]
    assert sweep.chosen_names(both, None) == ["t2", "t3"]
    with pytest.raises(ConfigError, match="--points is 't2,t4', which names 't4': must be of t2, t3, with commas"):
        sweep.chosen_names(both, "t2,t4")
    with pytest.raises(ConfigError, match="--points is '', which names ''"):
        sweep.chosen_names(both, "")
    with pytest.raises(ConfigError, match="did you mean 't3'"):
        sweep.chosen_names(both, "t33")
    with pytest.raises(ConfigError, match="the sweep has a point named 3, must be letters"):
        sweep.chosen_names(Sweep("question", "t2", [T2, Point(3, {})]), "t4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "defines no sweep"),
        ("def sweep(config): return [1]", "returned list, must return a Sweep"),
    ],
)
def test_a_file_without_a_sweep_is_one_line(text: str, says: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        sweep.load(f"{tmp_path / 'file.py'}:digits", ConfigDict())


def sweeps_of_the_repository() -> list[Any]:
    return sorted(path.stem for path in (pathlib.Path(__file__).parents[2] / "configs/ablations").glob("[!_]*.py"))


@pytest.mark.parametrize("base", ["digits", "image_folder", "imagenet"])
@pytest.mark.parametrize("name", sweeps_of_the_repository())
def test_the_sweeps_of_the_repository_can_be_trained_on_any_base(name: str, base: str) -> None:
    path = f"configs/ablations/{name}.py"
    module = sweep._module(path)
    config = module.get_config(base)
    found = sweep.load(path, config)
    costs = {point.name: (1, 1) for point in found.points}
    assert len(sweep.plan(found, config, costs)) == len(found.points) > 1


def test_a_base_that_does_not_exist_is_named() -> None:
    module = sweep._module("configs/ablations/width.py")
    with pytest.raises(ValueError, match=r"'nowhere', must be one of cifar10, default, digits, .*or a file that ends"):
        module.get_config("nowhere")
    assert module.get_config("tests/tiny.py").data.image_size == 16
