import io
import pathlib

from rich.console import Console

from mobilenet_v2.training.writers import Writers, read_rows


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_an_event_is_a_row_and_a_point_in_tensorboard(tmp_path: pathlib.Path) -> None:
    with Writers(tmp_path, 10, 0, console(False)) as writers:
        writers.write("train", 2, loss=0.25)
        writers.write("validation", 2, accuracy=0.5)
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"event": "train", "step": 2, "loss": 0.25},
        {"event": "validation", "step": 2, "accuracy": 0.5},
    ]
    written = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"train/loss" in written
    assert b"validation/accuracy" in written


def test_resuming_takes_back_what_came_after_the_checkpoint(tmp_path: pathlib.Path) -> None:
    with Writers(tmp_path, 10, 0, console(False)) as writers:
        for step in (2, 4, 6):
            writers.write("train", step, loss=float(step))
        writers.write("validation", 4, accuracy=0.5)
    with Writers(tmp_path, 10, 4, console(False)) as writers:
        writers.write("validation", 4, accuracy=0.5)
    assert [(row["event"], row["step"]) for row in read_rows(tmp_path / "metrics.jsonl")] == [
        ("train", 2),
        ("train", 4),
        ("validation", 4),
    ]


def test_a_half_written_last_line_is_no_row(tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"event": "train", "step": 1}\n{"event": "tr')
    assert read_rows(tmp_path / "metrics.jsonl") == [{"event": "train", "step": 1}]
    with Writers(tmp_path, 10, 1, console(False)) as writers:
        writers.write("train", 2)
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]


def test_without_a_terminal_there_is_a_plain_line_with_the_time_left(tmp_path: pathlib.Path) -> None:
    plain = console(False)
    with Writers(tmp_path, 10, 0, plain) as writers:
        writers.tell(2, "loss 1.0", seconds_left=3725)
        writers.tell(4, "loss 0.5", seconds_left=65)
    assert plain.file.getvalue().splitlines() == ["step 2/10  loss 1.0  1:02:05 left", "step 4/10  loss 0.5  1:05 left"]


def test_on_a_terminal_there_is_a_bar(tmp_path: pathlib.Path) -> None:
    terminal = console(True)
    with Writers(tmp_path, 10, 0, terminal) as writers:
        writers.advance(5)
        writers.tell(5, "loss 0.5")
    assert "5/10" in terminal.file.getvalue()
    assert "loss 0.5" in terminal.file.getvalue()
