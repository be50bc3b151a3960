"""Folders of sweeps that look as `ablate` leaves them, with accuracies as a test wants them."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tests import tiny

BASELINE = "t6"


def point(
    name: str, group: str = "", x: float | None = None, cost: int = 1_000_000, **overrides: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "group": group,
        "x": x,
        "overrides": overrides,
        "parameters": cost // 10,
        "multiply_adds": cost,
    }


def expansion_points() -> list[dict[str, Any]]:
    points = [point("t6", "", 6, 6_000_000, **{"model.expansion_factor": 6})]
    for t in (1, 2, 3, 10):
        points.append(point(f"t{t}", "equal width", t, 1_000_000 * t, **{"model.expansion_factor": t}))
        points.append(point(f"t{t}-equal-cost", "equal multiply-adds", t, 6_010_000, **{"model.expansion_factor": t}))
    return points


def write(
    workdir: pathlib.Path,
    points: Sequence[dict[str, Any]],
    accuracies: Mapping[str, Sequence[float]],
    baseline: str = BASELINE,
    test_split: bool = True,
) -> pathlib.Path:
    """A sweep whose runs have these accuracies by point and seed; a point without any has no run."""
    workdir.mkdir(parents=True, exist_ok=True)
    sweep = {
        "config": "configs/ablations/expansion_factor.py",
        "question": "Accuracy against the expansion factor",
        "x_label": "expansion factor t",
        "baseline": baseline,
        "points": [{**point, "seeds": [0, 1, 2]} for point in points],
        "base": tiny.get_config().to_dict(),
    }
    (workdir / "sweep.json").write_text(json.dumps(sweep))
    for name, values in accuracies.items():
        for seed, value in enumerate(values):
            run(workdir / name / f"seed_{seed}", value, test_split)
    return workdir


def run(folder: pathlib.Path, accuracy: float, test_split: bool = True, result: bool = True) -> None:
    """A run directory whose averaged weights end at `accuracy` and were better by a tenth before."""
    folder.mkdir(parents=True)
    rows = [(100, accuracy / 2), (200, min(accuracy + 0.1, 1.0)), (300, accuracy)]
    lines = [{"event": "validation", "step": step, **_scores(value)} for step, value in rows]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _write_environment(folder)
    scores = _scores(accuracy)
    told = {"validation": scores} | ({"test": scores} if test_split else {})
    if result:
        (folder / "result.json").write_text(json.dumps({"steps": 300, "seconds": 36.0, **told}))


def replicas(folder: pathlib.Path, accuracies: Sequence[float | None]) -> None:
    """A run of several seeds side by side; one whose accuracy is None diverged at step 150."""
    folder.mkdir(parents=True)
    lines = []
    for step in (100, 200, 300):
        alone = [dict.fromkeys(_scores(0)) if a is None and step > 150 else _scores(a or 0) for a in accuracies]
        lines.append({"event": "validation", "step": step, **{name: [one[name] for one in alone] for name in alone[0]}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _write_environment(folder)
    told = [
        {"seed": seed, "diverged": 150} if a is None else {"seed": seed, "validation": _scores(a), "test": _scores(a)}
        for seed, a in enumerate(accuracies)
    ]
    (folder / "result.json").write_text(json.dumps({"steps": 300, "seconds": 36.0, "replicas": told}))


def _scores(accuracy: float) -> dict[str, float]:
    raw = accuracy - 0.01
    return {"accuracy": raw, "loss": 2 * (1 - raw), "ema_accuracy": accuracy, "ema_loss": 2 * (1 - accuracy)}


def _write_environment(folder: pathlib.Path) -> None:
    environment = {"packages": {"jax": "0.10.2"}, "devices": ["cpu"], "git_commit": "abc"}
    (folder / "environment.json").write_text(json.dumps([environment]))
