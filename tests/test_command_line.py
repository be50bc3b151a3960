import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

import train
from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.errors import ConfigError
from tests.wrong_commands import CONFIG, WRONG_COMMANDS, WRONG_CONFIG_FILES, WRONG_TOOLS
from tests.wrong_inputs import WRONG_VALUES, WRONG_WORKDIRS

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

REPOSITORY = pathlib.Path(__file__).parents[1]


def contents(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Every file and folder below `folder`, with what is in it."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def assert_one_line(errors: str, substrings: Sequence[str]) -> None:
    assert errors.startswith("error: "), errors
    assert errors.endswith("\n")
    assert errors.count("\n") == 1, errors
    assert "Traceback" not in errors
    missing = [text for text in substrings if text not in errors]
    assert missing == [], errors


@pytest.mark.parametrize("flags, substrings", WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_wrong_flag_ends_with_one_line_and_status_2_and_nothing_is_written(
    flags: list[str],
    substrings: list[str],
    data_dir: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["train.py", CONFIG, f"--workdir={tmp_path / 'run'}", f"--config.data.data_dir={data_dir}", *flags]
    assert command_line.execute(train.main, argv) == 2
    out, errors = capsys.readouterr()
    assert_one_line(errors, substrings)
    assert out == ""
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("flags, substrings", WRONG_COMMANDS.values(), ids=WRONG_COMMANDS)
def test_a_command_that_lacks_something_says_what(
    flags: list[str], substrings: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [flag.replace("{tmp}", str(tmp_path)) for flag in ["train.py", *flags]]
    assert command_line.execute(train.main, argv) == 2
    out, errors = capsys.readouterr()
    assert_one_line(errors, [text.replace("{tmp}", str(tmp_path)) for text in substrings])
    assert out == ""
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("prepare, name, substrings", WRONG_WORKDIRS.values(), ids=WRONG_WORKDIRS)
def test_a_workdir_that_cannot_be_used_is_left_as_it_is(
    prepare: Callable[[pathlib.Path], None],
    name: str,
    substrings: list[str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / name
    prepare(workdir)
    before = contents(tmp_path)
    assert command_line.execute(train.main, ["train.py", CONFIG, f"--workdir={workdir}"]) == 2
    out, errors = capsys.readouterr()
    assert_one_line(errors, substrings)
    assert out == ""
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text, substrings", WRONG_CONFIG_FILES.values(), ids=WRONG_CONFIG_FILES)
def test_a_wrong_config_file_is_told_in_one_line(
    text: str, substrings: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.py").write_text(text)
    argv = ["train.py", f"--config={tmp_path / 'wrong.py'}", f"--workdir={tmp_path / 'run'}"]
    assert command_line.execute(train.main, argv) == 2
    assert_one_line(capsys.readouterr().err, substrings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags, substrings", WRONG_TOOLS.values(), ids=WRONG_TOOLS)
def test_every_tool_fails_in_the_same_way(
    flags: list[str], substrings: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [flag.replace("{tmp}", str(tmp_path)) for flag in ["mobilenet-v2", *flags]]
    assert command_line.execute(commands.dispatch, argv) == 2
    out, errors = capsys.readouterr()
    assert_one_line(errors, [text.replace("{tmp}", str(tmp_path)) for text in substrings])
    assert out == ""
    assert contents(tmp_path) == {}


WRONG_PROCESSES = {
    "misspelt field": (["--config.train.bach_size=4"], 1, ["'train.bach_size'", "did you mean 'train.batch_size'"]),
    "out of range": (["--config.model.dropout_rate=1.0"], 1, ["config.model.dropout_rate", "1.0", "[0, 1)"]),
    "data set not prepared": (["--config.data.name=mnist"], 1, ["'mnist'", "tfds build mnist"]),
    "batch on 8 devices": (
        ["--config.train.batch_size=12"],
        8,
        ["config.train.batch_size", "is 12", "divisible by 8 devices", "8 or 16"],
    ),
}


@pytest.mark.parametrize("flags, devices, substrings", WRONG_PROCESSES.values(), ids=WRONG_PROCESSES)
def test_a_process_ends_with_one_line_and_status_2(
    flags: list[str], devices: int, substrings: list[str], data_dir: str, tmp_path: pathlib.Path
) -> None:
    workdir = f"--workdir={tmp_path / 'run'}"
    done = subprocess.run(
        [
            sys.executable,
            "train.py",
            "--config=configs/digits.py",
            workdir,
            f"--config.data.data_dir={data_dir}",
            *flags,
        ],
        cwd=REPOSITORY,
        env={**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert_one_line(done.stderr, substrings)
    assert (done.returncode, done.stdout) == (2, "")
    assert contents(tmp_path) == {}


def test_a_process_without_get_config_in_its_config_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "wrong.py").write_text("x = 1\n")
    command = [sys.executable, "train.py", f"--config={tmp_path / 'wrong.py'}", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert_one_line(done.stderr, ["--config", "wrong.py", "get_config"])
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()


def test_help_shows_the_flags_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.execute(train.main, ["train.py", "--help"])
    assert ended.value.code == 0
    assert "--config=… --workdir=…" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["mobilenet-v2"], ["mobilenet-v2", "--help"]])
def test_without_a_command_the_commands_are_listed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.execute(commands.dispatch, argv) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in commands.COMMANDS)


def test_a_bug_keeps_its_traceback() -> None:
    def buggy(argv: list[str]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command_line.execute(buggy, ["program"])


def test_without_the_packages_of_training_the_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def lacking(argv: list[str]) -> None:
        raise ModuleNotFoundError("No module named 'grain.python'", name="grain.python")

    def misspelt(argv: list[str]) -> None:
        raise ModuleNotFoundError("No module named 'grian'", name="grian")

    assert command_line.execute(lacking, ["program"]) == 2
    assert_one_line(capsys.readouterr().err, ["needs grain.python", "the extra 'train'"])
    with pytest.raises(ModuleNotFoundError):
        command_line.execute(misspelt, ["program"])


@pytest.mark.parametrize("said, printed", [("", "interrupted"), ("interrupted at step 7", "interrupted at step 7")])
def test_an_interrupted_command_ends_with_one_line(said: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(argv: list[str]) -> None:
        raise KeyboardInterrupt(said)

    assert command_line.execute(interrupted, ["program"]) == 130
    assert capsys.readouterr().err == f"{printed}\n"


def test_an_error_of_several_lines_is_told_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    def command(argv: list[str]) -> None:
        raise ConfigError("first\n   second")

    assert command_line.execute(command, ["program"]) == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_flags_override_fields_and_switches_are_off_unless_given() -> None:
    argv = ["program", CONFIG, "--config.train.batch_size=64", "--config.optimizer.learning_rate=1"]
    flags = command_line.parse(argv, "", required=["config"], switches=["json"])
    assert flags.config.train.batch_size == 64
    assert flags.config.optimizer.learning_rate == 1.0
    assert flags.json is False
    assert command_line.parse([*argv, "--json"], "", required=["config"], switches=["json"]).json is True


def test_none_unsets_a_field_that_may_be_none() -> None:
    overrides = ["--config.data.test_split=None", "--config.train.num_steps=None"]
    config = command_line.parse(["train.py", CONFIG, *overrides], "", required=["config"]).config
    assert config.data.test_split is None
    assert config.train.num_steps is None
