import json
import os
import pathlib
from typing import Any

import pytest
from ml_collections import ConfigDict

from mobilenet_v2 import config as config_lib
from mobilenet_v2.commands import evaluate
from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.training import loop, run_directory


def start(workdir: pathlib.Path, config: ConfigDict) -> None:
    with run_directory.hold(workdir):
        run_directory.create(workdir, config)


def test_a_new_or_empty_folder_may_be_used(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    run_directory.check(tmp_path, tiny_config)
    run_directory.check(tmp_path / "new" / "deep", tiny_config)
    assert list(tmp_path.iterdir()) == []


def test_the_config_is_read_back_as_it_was_written(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    start(tmp_path / "run", tiny_config)
    assert config_lib.differences(run_directory.read_config(tmp_path / "run"), tiny_config) == []
    run_directory.check(tmp_path / "run", tiny_config)


def test_each_start_adds_its_environment(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        start(tmp_path / "run", tiny_config)
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert len(starts) == 2
    assert {"packages", "devices", "git_commit", "command"} <= starts[0].keys()


def test_a_file_a_foreign_folder_and_another_config_are_refused(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WorkdirError, match="is a file, must be a folder"):
        run_directory.check(tmp_path / "file" / "run", tiny_config)
    with pytest.raises(WorkdirError, match=r"holds files but no config\.json"):
        run_directory.check(tmp_path, tiny_config)
    start(tmp_path / "run", tiny_config)
    tiny_config.seed = 7
    with pytest.raises(WorkdirError, match="seed: 0 → 7"):
        run_directory.check(tmp_path / "run", tiny_config)


def test_a_run_may_go_on_with_other_readers_and_watches(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    start(tmp_path / "run", tiny_config)
    tiny_config.data.update(num_threads=3, num_workers=5, cache="none")
    tiny_config.parallel.update(agree_every=3, join_seconds=7, heartbeat_seconds=9, stall_minutes=0.0)
    run_directory.check(tmp_path / "run", tiny_config)


def test_a_folder_that_is_not_writable_is_refused(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_directory.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(WorkdirError, match="is not writable"):
        run_directory.check(tmp_path / "run", tiny_config)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": '])
def test_a_damaged_config_is_named(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WorkdirError, match=r"config\.json' is damaged"):
        run_directory.read_config(tmp_path)


def test_what_is_no_run_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkdirError, match="holds no run"):
        run_directory.read_config(tmp_path)


DATA = run_directory.Described(("cat", "dog"), "image_folder/pictures-1/1.0.0", {"train": 8, "validation": 2})


def test_a_run_without_a_word_on_its_data_goes_on_with_any(tmp_path: pathlib.Path) -> None:
    assert run_directory.check_data(tmp_path, DATA) is None


def test_another_copy_of_as_many_pictures_of_the_same_classes_is_told(tmp_path: pathlib.Path) -> None:
    run_directory.write_data(tmp_path, DATA)
    assert run_directory.check_data(tmp_path, DATA) is None
    told = run_directory.check_data(tmp_path, DATA._replace(name="image_folder/pictures-2/1.0.0"))
    assert told is not None
    assert "image_folder/pictures-2/1.0.0, but the run began with image_folder/pictures-1/1.0.0" in told


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"class_names": ("bird", "cat", "dog")}, "new class 'bird'"),
        ({"class_names": ("cat", "wolf")}, "new class 'wolf', no class 'dog'"),
        ({"class_names": ("dog", "cat")}, "other order of classes"),
        ({"examples": {"train": 9, "validation": 2}}, "train: 8 → 9 examples"),
        ({"examples": {**DATA.examples, "test": 2}}, "test: 0 → 2 examples"),
    ],
)
def test_other_classes_or_numbers_of_pictures_are_refused(
    changed: dict[str, Any], told: str, tmp_path: pathlib.Path
) -> None:
    run_directory.write_data(tmp_path, DATA)
    with pytest.raises(WorkdirError, match=rf"began with \({told}\); .* --config\.init_from={tmp_path}"):
        run_directory.check_data(tmp_path, DATA._replace(**changed))


def test_neither_training_nor_evaluation_goes_on_with_other_data(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    loop.run(tiny_config, str(workdir))
    (workdir / "result.json").unlink()
    data = json.loads((workdir / "data.json").read_text())
    (workdir / "data.json").write_text(json.dumps({**data, "name": "digits/0.9.0"}))
    loop.run(tiny_config, str(workdir))
    assert "warning: data set digits/1.0.0, but the run began with digits/0.9.0" in capsys.readouterr().out
    (workdir / "result.json").unlink()
    (workdir / "data.json").write_text(json.dumps({**data, "examples": {**data["examples"], "train": 5}}))
    with pytest.raises(WorkdirError, match=r"train: 5 → \d+ examples"):
        loop.run(tiny_config, str(workdir))
    with pytest.raises(WorkdirError, match=r"train: 5 → \d+ examples"):
        evaluate.main(["evaluate", f"--workdir={workdir}"])


def test_a_result_exists_only_once_it_is_written(tmp_path: pathlib.Path) -> None:
    assert run_directory.read_result(tmp_path) is None
    run_directory.write_result(tmp_path, {"steps": 3})
    assert run_directory.read_result(tmp_path) == {"steps": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_name_that_no_folder_can_have_is_told(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkdirError, match="can't be used: File name too long"):
        run_directory.check(tmp_path / ("x" * 300), tiny_config)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WorkdirError, match="can't be used: File exists"), run_directory.hold(tmp_path / "link"):
        pass


def test_what_one_run_holds_another_is_refused_until_it_ends(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    with run_directory.hold(tmp_path):
        run_directory.check(tmp_path, tiny_config)  # holding makes no run of it
        told = rf"is in use by process {os.getpid()} on \S+; use another workdir"
        with pytest.raises(WorkdirError, match=told), run_directory.hold(tmp_path):
            pass
    with run_directory.hold(tmp_path):
        pass
