import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

import train
from configs import digits
from mobilenet_v2 import __main__ as commands
from mobilenet_v2 import command_line
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import run_directory

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

REPOSITORY = pathlib.Path(__file__).parents[1]
CONFIG = f"--config={REPOSITORY / 'configs' / 'digits.py'}"


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


# What is wrong → flags beside --config and --workdir, what the line must hold: field, value, what is allowed.
WRONG_VALUES = {
    "misspelt field": (["--config.train.bach_size=4"], ["'train.bach_size'", "did you mean 'train.batch_size'"]),
    "misspelt section": (["--config.trian.batch_size=4"], ["'trian.batch_size'", "did you mean 'train.batch_size'"]),
    "misspelt field, value apart": (["--config.train.bach_size", "4"], ["'train.bach_size'", "'train.batch_size'"]),
    "not an integer": (["--config.train.batch_size=abc"], ["config.train.batch_size", "abc", "an integer ≥ 1"]),
    "fraction for an integer": (["--config.seed=1.5"], ["config.seed", "1.5", "an integer in 0 … 4294967295"]),
    "not a boolean": (["--config.data.flip=maybe"], ["config.data.flip", "maybe", "True or False"]),
    "None for an integer": (["--config.train.batch_size=None"], ["config.train.batch_size", "None", "an integer ≥ 1"]),
    "number for a section": (["--config.train=5"], ["config.train", "5"]),
    "width 0": (["--config.model.width_multiplier=0"], ["config.model.width_multiplier", "0.0", "(0, 16]"]),
    "dropout 1": (["--config.model.dropout_rate=1.0"], ["config.model.dropout_rate", "1.0", "[0, 1)"]),
    "negative smoothing": (["--config.train.label_smoothing=-0.1"], ["config.train.label_smoothing", "-0.1", "[0, 1)"]),
    "momentum 1": (["--config.optimizer.momentum=1"], ["config.optimizer.momentum", "1.0", "[0, 1)"]),
    "negative seed": (["--config.seed=-1"], ["config.seed", "-1", "an integer in 0 … 4294967295"]),
    "infinite learning rate": (
        ["--config.optimizer.learning_rate=inf"],
        ["learning_rate", "inf", "a number > 0 that float32 holds"],
    ),
    "no checkpoints": (["--config.train.keep_checkpoints=0"], ["config.train.keep_checkpoints", "0", "≥ 1"]),
    "zero steps": (["--config.train.num_steps=0"], ["config.train.num_steps", "0", "an integer ≥ 1, or None"]),
    "two means": (["--config.data.mean=(0.5,0.5)"], ["config.data.mean", "(0.5, 0.5)", "a tuple of three"]),
    "no name": (["--config.data.name="], ["config.data.name", "''", "a non-empty string"]),
    "head rule": (
        ["--config.model.head_rule=wide"],
        ["config.model.head_rule", "'wide'", "'paper', 'shrink', 'fixed'"],
    ),
    "dtype": (["--config.model.dtype=float16"], ["config.model.dtype", "'float16'", "'float32', 'bfloat16'"]),
    "padding": (["--config.model.padding=valid"], ["config.model.padding", "'valid'", "'same', 'symmetric'"]),
    "schedule": (["--config.optimizer.schedule=step"], ["config.optimizer.schedule", "'step'", "'cosine', 'constant'"]),
    "optimizer": (["--config.optimizer.name=adam"], ["config.optimizer.name", "'adam'", "'rmsprop', 'sgd', 'adamw'"]),
    "short stage": (
        ["--config.model.stages=((1,2,3),)"],
        ["config.model.stages[0]", "(1, 2, 3)", "(t or None, channels"],
    ),
    "stages that do not parse": (
        ["--config.model.stages=((1,"],
        ["config.model.stages", "((1,", "a non-empty tuple of"],
    ),
    "element of stages": (["--config.model.stages[0]=5"], ["'model.stages[0]'", "'model.stages'"]),
    "stage of stride 3": (["--config.model.stages=((1,16,1,3),)"], ["config.model.stages[0]", "stride 3", "1 … 2"]),
    "image below the strides": (["--config.data.image_size=2"], ["config.data.image_size", "is 2", "at least 8"]),
    "evaluation between checkpoints": (
        ["--config.train.evaluate_every=150"],
        ["config.train.evaluate_every", "150", "a multiple of config.train.checkpoint_every, 100"],
    ),
    "uneven micro-batches": (
        ["--config.train.accumulation_steps=5"],
        ["config.train.accumulation_steps", "is 5", "must divide config.train.batch_size, 32"],
    ),
    "head below the divisor": (
        ["--config.model.head_channels=4"],
        ["config.model.head_channels", "is 4", "at least config.model.channel_divisor, 8"],
    ),
    "fewer logits than labels": (
        ["--config.model.num_classes=9"],
        ["config.model.num_classes", "is 9", "at least 10", "'digits'"],
    ),
    "unknown data set": (["--config.data.name=digit"], ["config.data.name", "'digit'", "did you mean 'digits'"]),
    "data set not prepared": (
        ["--config.data.name=mnist"],
        ["'mnist'", "not prepared", "tfds build mnist --file_format=array_record --data_dir="],
    ),
    "unknown split": (
        ["--config.data.train_split=training"],
        ["'training'", "train (1257), validation (270), test (270)"],
    ),
    "empty split": (["--config.data.test_split=test[:0]"], ["'test[:0]'", "test (270)"]),
    "split that does not parse": (["--config.data.test_split=test[:"], ["'test[:'", "test (270)"]),
    "warm-up longer than the run": (
        ["--config.optimizer.warmup_epochs=30"],
        ["config.optimizer.warmup_epochs", "30.0", "less than the run's 943"],
    ),
    "misspelt flag": (["--wrokdir=runs"], ["--wrokdir", "did you mean 'workdir'"]),
    "unknown flag": (["--xyzzy=1"], ["--xyzzy"]),
    "argument left over": (["left"], ["'left'", "--config=…", "--workdir=…"]),
}


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


# What is wrong → all flags, with {tmp} for a new folder; what the line must hold.
WRONG_COMMANDS = {
    "no workdir": ([CONFIG], ["--workdir is missing"]),
    "no config": (["--workdir={tmp}/run"], ["--config is missing"]),
    "nothing": ([], ["is missing", "--config=…", "--workdir=…"]),
    "config that does not exist": (["--config={tmp}/none.py", "--workdir={tmp}/run"], ["--config", "none.py"]),
    "folder as config": (["--config={tmp}", "--workdir={tmp}/run"], ["--config", "{tmp}"]),
    "override before the config": (
        ["--config.train.batch_size=4", CONFIG, "--workdir={tmp}/run"],
        ["--config.train.batch_size=4", "--config"],
    ),
    "misspelt field, config apart": (
        ["--config", CONFIG.removeprefix("--config="), "--config.train.bach_size=4", "--workdir={tmp}/run"],
        ["'train.bach_size'", "did you mean 'train.batch_size'"],
    ),
}


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


def a_file(run: pathlib.Path) -> None:
    run.write_text("mine")


def below_a_file(run: pathlib.Path) -> None:
    run.parent.write_text("mine")


def foreign_files(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "thesis.tex").write_text("mine")


def another_config(run: pathlib.Path) -> None:
    config = digits.get_config()
    config.train.batch_size = 64
    run_directory.create(run, config)


def damaged_config(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "config.json").write_text('{"seed": ')


def binary_config(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "config.json").write_bytes(b"\xff\xfe\x00")


def damaged_result(run: pathlib.Path) -> None:
    run_directory.create(run, digits.get_config())
    (run / "result.json").write_text('{"steps": ')


WRONG_WORKDIRS: dict[str, tuple[Callable[[pathlib.Path], None], str, list[str]]] = {
    "a file": (a_file, "run", ["run'", "is a file", "must be a folder"]),
    "below a file": (below_a_file, "file/run", ["file/run'", "is a file", "must be a folder"]),
    "foreign files": (foreign_files, "run", ["run'", "no config.json", "must be new, empty, or a run's"]),
    "another config": (another_config, "run", ["run'", "train.batch_size: 64 → 32", "use another workdir"]),
    "damaged config": (damaged_config, "run", ["run/config.json'", "damaged"]),
    "binary config": (binary_config, "run", ["run/config.json'", "damaged"]),
    "damaged result": (damaged_result, "run", ["run/result.json'", "damaged"]),
}


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


WRONG_CONFIG_FILES = {
    "None where a number must be": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    with config.ignore_type():\n        config.model.num_classes = None\n    return config\n",
        ["config.model.num_classes", "None", "an integer ≥ 2"],
    ),
    "a field too many": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    config.train.bach_size = 4\n    return config\n",
        ["'train.bach_size'", "did you mean 'train.batch_size'"],
    ),
    "a field too few": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    del config.train['batch_size']\n    return config\n",
        ["config.train.batch_size is missing", "an integer ≥ 1"],
    ),
    "no ConfigDict": ("def get_config():\n    return 5\n", ["--config", "wrong.py", "ConfigDict"]),
}


@pytest.mark.parametrize("text, substrings", WRONG_CONFIG_FILES.values(), ids=WRONG_CONFIG_FILES)
def test_a_wrong_config_file_is_told_in_one_line(
    text: str, substrings: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.py").write_text(text)
    argv = ["train.py", f"--config={tmp_path / 'wrong.py'}", f"--workdir={tmp_path / 'run'}"]
    assert command_line.execute(train.main, argv) == 2
    assert_one_line(capsys.readouterr().err, substrings)
    assert not (tmp_path / "run").exists()


WRONG_TOOLS = {
    "unknown command": (["evalute"], ["'evalute'", "commands are summary, evaluate", "did you mean 'evaluate'"]),
    "evaluate without a run": (["evaluate", "--workdir={tmp}"], ["{tmp}", "holds no run", "config.json"]),
    "evaluate of nothing": (["evaluate", "--workdir={tmp}/none"], ["{tmp}/none", "holds no run"]),
    "evaluate without a workdir": (["evaluate"], ["--workdir is missing"]),
    "summary without a config": (["summary"], ["--config is missing"]),
    "summary of a wrong config": (
        ["summary", CONFIG, "--config.model.width_multiplier=0"],
        ["config.model.width_multiplier", "0.0", "(0, 16]"],
    ),
    "summary with a workdir": (["summary", CONFIG, "--workdir={tmp}/run"], ["unknown flag --workdir"]),
}


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
