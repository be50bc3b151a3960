import json
import pathlib
from types import ModuleType

import pytest

from configs import default, digits
from mobilenet_v2.commands import summary
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("module", [default, digits], ids=["default", "digits"])
def test_json_holds_the_totals_and_the_blocks_that_are_counted(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    summary.main(["summary", f"--config={module.__file__}", "--json"])
    printed = json.loads(capsys.readouterr().out)
    config = module.get_config()
    counted = cost.count(build_model(config.model), config.data.image_size)
    for name in ("parameters", "batch_stats", "multiply_adds", "peak_bytes"):
        assert printed[name] == getattr(counted, name)
    assert [block["name"] for block in printed["blocks"]] == [block.name for block in counted.blocks]
    assert sum(block["parameters"] for block in printed["blocks"]) == printed["parameters"]


def test_the_paper_s_network_has_3_5_million_parameters_and_300_million_multiply_adds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary.main(["summary", f"--config={CONFIGS / 'default.py'}", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["parameters"] == 3_504_872
    assert printed["multiply_adds"] == 300_774_272


def test_the_table_has_a_row_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    summary.main(["summary", f"--config={CONFIGS / 'digits.py'}"])
    out = capsys.readouterr().out
    for name in ("stem", "block_00", "block_16", "head", "classifier", "total"):
        assert f" {name} " in out


def test_overrides_change_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = []
    for width in (0.5, 1.0):
        flags = [f"--config={CONFIGS / 'digits.py'}", f"--config.model.width_multiplier={width}", "--json"]
        summary.main(["summary", *flags])
        parameters.append(json.loads(capsys.readouterr().out)["parameters"])
    assert parameters[0] < parameters[1]
