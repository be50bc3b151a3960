import json
import os
import pathlib
import random
import signal

import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.commands import evaluate
from mobilenet_v2.errors import DataError, DivergenceError, Preempted, WorkdirError
from mobilenet_v2.training import loop
from mobilenet_v2.training.setup import make_setup
from tests import run_processes
from tests.run_directories import assert_bit_equal, deterministic_rows, saved_state, steps_taken


def test_a_run_leaves_config_environment_metrics_checkpoints_and_result(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    result = loop.run(tiny_config, str(tmp_path / "run"))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        ".lock",
        "classes.json",
        "data.json",
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "tensorboard",
        "result.json",
    }
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert result["steps"] == 12
    assert result["examples"] == {"train": 200, "validation": 50, "test": 40}
    events = [(row["event"], row["step"]) for row in deterministic_rows(tmp_path / "run")]
    trained = [("train", step) for step in (2, 4, 6, 8)]
    assert events == [*trained, ("validation", 8), ("train", 10), ("train", 12), ("validation", 12)]


def test_a_run_says_first_what_it_computes_on(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.run(tiny_config, str(tmp_path / "run"))
    assert capsys.readouterr().out.startswith("devices: 1 × cpu, 1 process, mesh data=1\n")


@pytest.mark.parametrize("residence", ["host", pytest.param("device", marks=pytest.mark.slow)])
def test_training_lowers_the_loss(tiny_config: ConfigDict, tmp_path: pathlib.Path, residence: str) -> None:
    tiny_config.data.residence = residence
    tiny_config.train.num_steps = 120
    tiny_config.optimizer.learning_rate = 0.02
    loop.run(tiny_config, str(tmp_path / "run"))
    losses = [row["loss"] for row in deterministic_rows(tmp_path / "run") if row["event"] == "train"]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3


def test_a_finished_run_is_told_and_not_repeated(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    first = loop.run(tiny_config, str(tmp_path / "run"))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert loop.run(tiny_config, str(tmp_path / "run")) == first
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_workdir_of_another_config_is_refused_with_the_fields_that_differ(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    loop.run(tiny_config, str(tmp_path / "run"))
    tiny_config.optimizer.learning_rate = 0.5
    with pytest.raises(WorkdirError, match=r"optimizer\.learning_rate: 0\.003 → 0\.5"):
        loop.run(tiny_config, str(tmp_path / "run"))


def test_evaluate_repeats_the_result_exactly(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = loop.run(tiny_config, str(tmp_path / "run"))
    capsys.readouterr()
    evaluate.main(["evaluate", f"--workdir={tmp_path / 'run'}", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"step": 12, "validation": result["validation"], "test": result["test"]}


def test_without_averages_only_the_raw_scores_are_told(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.optimizer.ema_decay = 0.0
    result = loop.run(tiny_config, str(tmp_path / "run"))
    assert set(result["test"]) == {"loss", "accuracy"}


@pytest.mark.parametrize("learning_rate", [1e30, 3e38])
def test_a_step_that_is_not_finite_stops_the_run_and_leaves_the_last_good_checkpoint(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, learning_rate: float
) -> None:
    tiny_config.optimizer.update(name="sgd", learning_rate=learning_rate, warmup_epochs=0.4, schedule="constant")
    tiny_config.train.update(checkpoint_every=1, evaluate_every=12)
    with pytest.raises(DivergenceError, match=r"step \d+ is not finite"):
        loop.run(tiny_config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "result.json").exists()
    kept = saved_state(tmp_path / "run")
    assert all(np.isfinite(leaf).all() for name, leaf in kept.items() if "params" in name)


def test_too_many_unreadable_training_images_stop_the_run(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_setup(tiny_config)

    records = [setup.splits["train"][index] for index in range(200)]
    setup.splits["train"] = [{**r, "image": r["image"][:20]} if i % 4 == 0 else r for i, r in enumerate(records)]
    monkeypatch.setattr(loop, "make_setup", lambda config: setup)
    with pytest.raises(DataError, match=r"training images can't be decoded.*config\.data\.max_unreadable"):
        loop.run(tiny_config, str(tmp_path / "run"))


def test_a_few_unreadable_training_images_are_counted_and_left_out(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.data.max_unreadable = 0.5
    setup = make_setup(tiny_config)
    records = [setup.splits["train"][index] for index in range(200)]
    setup.splits["train"] = [{**r, "image": b"not an image"} if i % 10 == 0 else r for i, r in enumerate(records)]
    monkeypatch.setattr(loop, "make_setup", lambda config: setup)
    loop.run(tiny_config, str(tmp_path / "run"))
    counted = sum(row["unreadable"] for row in deterministic_rows(tmp_path / "run") if row["event"] == "train")
    assert 0 < counted < 12 * 16 * 0.3


def test_a_training_split_without_a_readable_image_ends_with_its_first_batches(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.train.log_every = 1000
    tiny_config.data.max_unreadable = 1.0
    setup = make_setup(tiny_config)
    setup.splits["train"] = [{"image": b"", "label": 0}] * 200
    monkeypatch.setattr(loop, "make_setup", lambda config: setup)
    with pytest.raises(DataError, match=r"none of the first 112 images of split 'train\[:200\]' can be decoded"):
        loop.run(tiny_config, str(tmp_path / "run"))


@pytest.mark.parametrize("before, after", [((2, 0), (0, 0)), pytest.param((0, 2), (2, 0), marks=pytest.mark.slow)])
def test_saved_with_one_number_of_threads_and_workers_a_run_goes_on_with_another(
    tiny_config: ConfigDict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    loop.run(tiny_config, str(tmp_path / "whole"))
    tiny_config.data.update(num_threads=before[0], num_workers=before[1])
    write = loop.Writers.write

    def interrupted_at_step_6(self: loop.Writers, event: str, step: int, **values: float) -> None:
        write(self, event, step, **values)
        if (event, step) == ("train", 6):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Writers, "write", interrupted_at_step_6)
    with pytest.raises(Preempted, match="interrupted at step 7; the same command goes on"):
        loop.run(tiny_config, str(tmp_path / "cut"))
    monkeypatch.setattr(loop.Writers, "write", write)
    tiny_config.data.update(num_threads=after[0], num_workers=after[1])
    loop.run(tiny_config, str(tmp_path / "cut"))
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(
    "settings",
    [
        {"data.residence": "host"},
        {"data.residence": "device"},
        {"train.accumulation_steps": 2, "optimizer.ema_decay": 0.0},
    ],
    ids=["host", "device", "micro-batches without averages"],
)
def test_interrupted_between_rows_the_sums_go_on(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    tiny_config.update_from_flattened_dict(settings)
    tiny_config.train.update(log_every=3, checkpoint_every=4, evaluate_every=8)
    loop.run(tiny_config, str(tmp_path / "whole"))

    class Killed(BaseException):
        pass

    write = loop.Writers.write

    def dies_at_step_9(self: loop.Writers, event: str, step: int, **values: float) -> None:
        write(self, event, step, **values)
        if step == 9:
            raise Killed

    monkeypatch.setattr(loop.Writers, "write", dies_at_step_9)
    with pytest.raises(Killed):
        loop.run(tiny_config, str(tmp_path / "cut"))
    monkeypatch.setattr(loop.Writers, "write", write)
    loop.run(tiny_config, str(tmp_path / "cut"))
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


def test_ctrl_c_saves_the_step_it_is_at_and_the_same_command_goes_on(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.run(tiny_config, str(tmp_path / "whole"))
    write = loop.Writers.write

    def interrupted_at_step_6(self: loop.Writers, event: str, step: int, **values: float) -> None:
        write(self, event, step, **values)
        if (event, step) == ("train", 6):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Writers, "write", interrupted_at_step_6)
    with pytest.raises(KeyboardInterrupt, match="interrupted at step 7; the same command goes on"):
        loop.run(tiny_config, str(tmp_path / "cut"))
    monkeypatch.setattr(loop.Writers, "write", write)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    loop.run(tiny_config, str(tmp_path / "cut"))
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")


def test_killed_twice_a_run_ends_bit_equal_to_an_uninterrupted_one(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    settings = {"num_steps": 120, "log_every": 3, "checkpoint_every": 10, "evaluate_every": 40}
    overrides = [f"--config.train.{name}={value}" for name, value in settings.items()]
    overrides += [f"--config.data.data_dir={tiny_config.data.data_dir}"]
    moments = sorted(random.Random().sample(range(3, 80), 2))
    for moment in moments:
        started = run_processes.start(tmp_path / "cut", overrides)
        run_processes.wait_for(lambda moment=moment: steps_taken(tmp_path / "cut") >= moment, started)
        started[0].kill()
        assert run_processes.finish(started)[0] == [-signal.SIGKILL]
    for name in ("cut", "whole"):
        run_processes.run(tmp_path / name, overrides)
    assert_bit_equal(tmp_path / "cut", tmp_path / "whole")
