import pathlib
import shutil
from collections.abc import Callable

import pytest
from ml_collections import ConfigDict

import train
from mobilenet_v2 import command_line
from mobilenet_v2.training import loop
from tests.training.test_warm_start import write_weights

REPOSITORY = pathlib.Path(__file__).parents[2]


def wider(path: pathlib.Path, config: ConfigDict) -> None:
    write_weights(path.with_suffix(".safetensors"), config, width_multiplier=1.0)
    path.mkdir()
    for file in path.parent.glob("weights.*"):
        file.rename(path / file.name)


def truncated(path: pathlib.Path, config: ConfigDict) -> None:
    wider(path, config)
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def without_checkpoint(path: pathlib.Path, config: ConfigDict) -> None:
    del config
    (path / "checkpoints").mkdir(parents=True)


def damaged_run(path: pathlib.Path, config: ConfigDict) -> None:
    loop.run(config, str(path))
    for extra in (path / "checkpoints").glob("*/extra"):
        shutil.rmtree(extra)


WRONG_WEIGHTS: dict[str, tuple[Callable[[pathlib.Path, ConfigDict], None], list[str]]] = {
    "missing": (lambda path, config: None, ["weights'", "is no file, must be a file of safetensors"]),
    "another width": (wider, ["config.model", "found for expected", "(32,) for (8,)", "in all"]),
    "truncated": (truncated, ["weights.safetensors"]),
    "run without a checkpoint": (without_checkpoint, ["weights'", "has no checkpoint yet"]),
    "damaged run": (damaged_run, ["none of the checkpoints in", "can be read"]),
}


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("prepare, says", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_that_cannot_be_a_start_get_one_line_and_no_run_directory(
    prepare: Callable[[pathlib.Path, ConfigDict], None],
    says: list[str],
    tiny_config: ConfigDict,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_config.train.num_steps = 2
    prepare(tmp_path / "weights", tiny_config)
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    # The data set does not exist either: the weights come first.
    flags = [f"--config={REPOSITORY / 'tests' / 'tiny.py'}", f"--workdir={tmp_path / 'run'}", "--config.data.name=none"]
    argv = ["train.py", *flags, f"--config.init_from={tmp_path / 'weights'}"]
    assert command_line.execute(train.main, argv) == 2
    out, errors = capsys.readouterr()
    line = errors.splitlines()[-1]
    assert line.startswith("error: ")
    assert [text for text in says if text not in line] == [], line
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before
