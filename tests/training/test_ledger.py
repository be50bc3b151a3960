import pathlib
from collections.abc import Iterator

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.errors import DataError, DivergenceError
from mobilenet_v2.training import ledger
from mobilenet_v2.training.ledger import Ledger
from mobilenet_v2.training.setup import Setup, make_setup
from mobilenet_v2.training.writers import Writers, read_rows

SUMS = {"count": 16.0, "loss": 32.0, "correct": 4.0, "unreadable": 0.0, "nonfinite": 0.0, "steps": 1.0}
NORMS = {"gradient_norm": 3.0, "parameter_norm": 5.0, "update_norm": 0.5}


@pytest.fixture
def setup(tiny_config: ConfigDict) -> Setup:
    tiny_config.train.log_every = 2
    return make_setup(tiny_config)


@pytest.fixture
def writers(setup: Setup, tmp_path: pathlib.Path) -> Iterator[Writers]:
    with Writers(tmp_path, setup.total_steps, 0) as writers:
        yield writers


def step(**changed: float) -> dict[str, jnp.ndarray]:
    return {name: jnp.asarray(value) for name, value in (SUMS | NORMS | changed).items()}


def rows(folder: pathlib.Path, event: str) -> list[dict[str, float]]:
    return [row for row in read_rows(folder / "metrics.jsonl") if row["event"] == event]


def test_a_row_holds_means_since_the_last_one(setup: Setup, writers: Writers, tmp_path: pathlib.Path) -> None:
    account = Ledger(setup, writers, {}, 0.0)
    for number, loss in enumerate([32.0, 64.0, 16.0, 16.0], start=1):
        account.enter(number, step(loss=loss, gradient_norm=loss))
    account.settle()
    written = rows(tmp_path, "train")
    assert [row["step"] for row in written] == [2, 4]
    assert [row["loss"] for row in written] == [3.0, 1.0]
    assert [row["accuracy"] for row in written] == [0.25, 0.25]
    assert [row["gradient_norm"] for row in written] == [48.0, 16.0]
    assert account.sums == {}


def test_time_spent_aside_is_no_part_of_a_step(
    setup: Setup, writers: Writers, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(ledger.time, "monotonic", lambda: clock[0])
    account = Ledger(setup, writers, {}, 0.0)
    for number in range(1, 5):
        account.enter(number, step())
        account.settle()
        clock[0] += 1.0
        if number == 3:
            with account.aside():
                clock[0] += 60.0
    assert [(row["step"], row["seconds_per_step"]) for row in rows(tmp_path, "speed")] == [(2, 1.0), (4, 1.0)]


def test_a_steps_metrics_are_read_when_the_next_ones_come(
    setup: Setup, writers: Writers, tmp_path: pathlib.Path
) -> None:
    account = Ledger(setup, writers, {}, 0.0)
    account.enter(1, step())
    account.enter(2, step())
    assert rows(tmp_path, "train") == []
    assert account.sums["count"] == 16
    account.settle()
    assert len(rows(tmp_path, "train")) == 1


def test_sums_that_a_checkpoint_kept_count_in_the_next_row(
    setup: Setup, writers: Writers, tmp_path: pathlib.Path
) -> None:
    account = Ledger(setup, writers, {name: float(value) for name, value in step(loss=64.0).items()}, 0.0)
    account.enter(2, step(loss=32.0))
    account.settle()
    assert [row["loss"] for row in rows(tmp_path, "train")] == [3.0]


def test_a_step_that_is_not_finite_ends_the_run_and_is_named(setup: Setup, writers: Writers) -> None:
    account = Ledger(setup, writers, {}, 0.0)
    account.enter(7, step(nonfinite=1.0))
    with pytest.raises(DivergenceError, match="step 7 is not finite; it was not applied"):
        account.settle()


def test_too_many_unreadable_images_end_the_run(setup: Setup, writers: Writers) -> None:
    setup.config.data.max_unreadable = 0.01  # of the 200 of an epoch: 2
    account = Ledger(setup, writers, {}, 0.0)
    account.enter(2, step(unreadable=2.0))
    account.settle()
    account.enter(4, step(unreadable=1.0))
    with pytest.raises(DataError, match=r"3 training images can't be decoded, must be at most a share of 0\.01"):
        account.settle()


def test_speed_and_the_wait_for_data_are_rows_of_their_own_from_the_second_row_on(
    setup: Setup, writers: Writers, tmp_path: pathlib.Path
) -> None:
    account = Ledger(setup, writers, {}, 0.0)
    for number in range(1, 5):
        with account.waiting():
            pass
        account.enter(number, step())
    account.settle()
    speeds = rows(tmp_path, "speed")
    assert [row["step"] for row in speeds] == [2, 4]
    for row in speeds:
        assert row["images_per_second"] == pytest.approx(16 / row["seconds_per_step"])
        assert 0 < row["seconds_waiting_for_data"] <= row["seconds_per_step"]
