import io
import pathlib

import pytest
from rich.console import Console

from mobilenet_v2.ablation import listing, sweep, sweep_directory
from mobilenet_v2.ablation.sweep_directory import Run
from tests.ablation import small_sweep, sweeps


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> list[Run]:
    """Of two points and two seeds, one of them finished."""
    config = small_sweep.get_config()
    swept = small_sweep.sweep(config)
    planned = sweep.plan(swept, config, {point.name: (1_000, 20_000) for point in swept.points})
    sweeps.run(tmp_path / "t2" / "seed_0", 0.5)
    return sweep_directory.runs_of(tmp_path, planned, [0, 1])


@pytest.mark.parametrize(
    "seconds, says",
    [
        (100.0, "4 runs, 1 finished; the others will take about 0:01:40\n"),
        ("no such thing", "4 runs, 1 finished; how long the others will take can't be told: no such thing\n"),
        (None, "4 runs, 1 finished\n"),
    ],
)
def test_how_much_there_is_to_do(runs: list[Run], seconds: float | str | None, says: str) -> None:
    console = Console(file=io.StringIO(), width=160)
    listing.print_plan(runs, [run for run in runs if run.result is None], seconds, console)
    assert console.file.getvalue() == says  # type: ignore[attr-defined]


def test_a_point_is_a_row_with_its_fields_its_cost_and_its_finished_runs(runs: list[Run]) -> None:
    console = Console(file=io.StringIO(), width=160)
    listing.print_points(runs, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (row,) = [line for line in lines if " t2 " in line]
    assert [text in row for text in ("expansion_factor=2", "1,000", "20,000", "1/2")] == [True] * 4


def test_a_run_that_ends_is_a_line(runs: list[Run]) -> None:
    console = Console(file=io.StringIO(), width=160)
    report = listing.reporter(runs, console)
    report(runs[0], True)
    report(runs[1], False)
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert said[0].startswith("[1/4] t2, seed 0: test accuracy of averaged weights 50.00% in 0:00:36; about ")
    assert said[1].startswith(f"[1/4] t3, seed 0: did not finish, see {runs[1].log}; about ")
