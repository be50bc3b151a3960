"""What two runs left, compared."""

import json
import pathlib
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from mobilenet_v2.training import checkpoint
from mobilenet_v2.training.writers import read_rows


def deterministic_rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """All rows of `metrics.jsonl` but those that depend on the clock."""
    return [row for row in read_rows(workdir / "metrics.jsonl") if row["event"] != "speed"]


def steps_taken(workdir: pathlib.Path) -> int:
    """The step of the last row."""
    rows = [row["step"] for row in read_rows(workdir / "metrics.jsonl") if row["event"] == "train"]
    return rows[-1] if rows else 0


def saved_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """The newest checkpoint's arrays, by path."""
    manager = checkpoint.open_reader(workdir / "checkpoints")
    restored = checkpoint.restore_latest(manager, None, read_only=True)
    manager.close()
    assert restored is not None
    return flatten_dict(restored.state, sep="/")


def result(workdir: pathlib.Path) -> dict[str, Any]:
    """`result.json` without what depends on the clock."""
    found = json.loads((workdir / "result.json").read_text())
    del found["seconds"]
    return found


def assert_bit_equal(one: pathlib.Path, other: pathlib.Path) -> None:
    """Rows, result and every array of the last state."""
    assert deterministic_rows(one) == deterministic_rows(other)
    assert result(one) == result(other)
    ours, theirs = saved_state(one), saved_state(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
