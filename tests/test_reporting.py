import io
import pathlib

import pytest
from rich.console import Console

from configs import digits
from mobilenet_v2 import reporting
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def text(written: Console) -> str:
    assert isinstance(written.file, io.StringIO)
    return written.file.getvalue()


def result(**changes: object) -> dict:
    scores = {"loss": 0.1, "accuracy": 0.98765, "ema_loss": 0.09, "ema_accuracy": 0.99}
    return {
        "parameters": 700_000,
        "multiply_adds": 12_345_678,
        "validation": scores,
        "test": scores,
        "examples": {"train": 1257, "validation": 270, "test": 269},
        "seconds": 125.4,
        "steps": 1_200,
    } | changes


def test_the_cost_table_has_a_row_a_block_and_the_totals() -> None:
    config = digits.get_config()
    counted = cost.count(build_model(config.model), config.data.image_size)
    written = console()
    reporting.print_cost(counted, written)
    lines = text(written).splitlines()
    for block in counted.blocks:
        row = next(line for line in lines if f" {block.name} " in line)
        assert f" {block.parameters:,} " in row
        assert f" {block.multiply_adds:,} " in row
        assert "×".join(map(str, block.output_shape)) in row
    total = next(line for line in lines if " total " in line)
    assert f" {counted.parameters:,} " in total
    assert f" {counted.multiply_adds:,} " in total
    assert f"and {counted.batch_stats:,} batch statistics" in text(written)


def test_a_result_tells_scores_time_and_where_the_files_are() -> None:
    written = console()
    reporting.print_result(result(), pathlib.Path("runs/digits"), written)
    shown = " ".join(text(written).split())
    for part in ("700,000", "12,345,678", "98.77%, moving average 99.00%", "(of 270 images)", "(of 269 images)"):
        assert part in shown
    assert "2 min 05 s for 1,200 steps" in shown
    for name in ("result.json", "metrics.jsonl", "checkpoints"):
        assert f"runs/digits/{name}" in shown


def test_a_result_without_a_test_split_has_no_test_row() -> None:
    without = result()
    del without["test"]
    written = console()
    reporting.print_result(without, pathlib.Path("runs"), written)
    assert "validation accuracy" in text(written)
    assert "test accuracy" not in text(written)


def test_scores_without_averages_name_none() -> None:
    assert reporting.format_scores({"loss": 1.0, "accuracy": 0.5}, 1234) == "50.00%  (of 1,234 images)"


def test_no_column_is_cut_where_the_output_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    config = digits.get_config()
    reporting.print_cost(cost.count(build_model(config.model), config.data.image_size))
    assert "…" not in capsys.readouterr().out
