"""Where `--config` stands among a command's flags."""

import pytest

from mobilenet_v2 import command_line
from mobilenet_v2.ablation.command import base_flags
from mobilenet_v2.errors import ConfigError

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

FILE = "configs/digits.py"


@pytest.mark.parametrize(
    "argv",
    [
        ["--config.seed=7", f"--config={FILE}", "--config.train.batch_size=16"],
        ["--config.seed", "7", "--config.train.batch_size=16", "--config", FILE],
        [f"-config={FILE}", "--config.seed=7", "--config.train.batch_size=16"],
    ],
)
def test_overrides_may_stand_before_the_file(argv: list[str]) -> None:
    config = command_line.parse(["train.py", *argv], "", required=["config"]).config
    assert (config.seed, config.train.batch_size) == (7, 16)
    base = base_flags(command_line.config_first(["ablate", *argv]))
    assert base[0].lstrip("-") == f"config={FILE}"
    assert sorted(base[1:]) == ["--config.seed=7", "--config.train.batch_size=16"]


def test_of_overrides_of_one_field_the_last_holds() -> None:
    argv = ["train.py", "--config.seed=7", f"--config={FILE}", "--config.seed=8"]
    assert command_line.parse(argv, "", required=["config"]).config.seed == 8


def test_two_files_are_refused() -> None:
    argv = ["train.py", f"--config={FILE}", "--config=configs/imagenet.py"]
    with pytest.raises(ConfigError, match=r"--config is given twice, as .* and again; must be once"):
        command_line.parse(argv, "", required=["config"])


def test_words_that_are_no_flags_stay_as_they_are() -> None:
    assert command_line.config_first(["p", "a", "--", "--config=b"]) == ["p", "a", "--", "--config=b"]
    assert command_line.config_first(["p", "--config"]) == ["p", "--config"]
