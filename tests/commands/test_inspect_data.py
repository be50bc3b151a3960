import json
import pathlib

import pytest
from PIL import Image

from mobilenet_v2.commands import inspect_data
from tests import tiny

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def flags(data_dir: str, tmp_path: pathlib.Path) -> list[str]:
    config = f"--config={tiny.__file__}"
    return ["inspect_data", config, f"--config.data.data_dir={data_dir}", f"--output={tmp_path / 'sheet.png'}"]


def test_a_sheet_is_written_and_the_counts_are_printed(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_data.main([*flags, "--config.data.test_split=test[:3]"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 132 + 4, 8 * 150 + 4)
    out = capsys.readouterr().out
    assert "│ total │   200 │         50 │    3 │" in out
    assert "warning: test has no example of class " in out
    assert f"wrote {tmp_path / 'sheet.png'}\n" in out


def test_json_holds_the_counts_by_class_and_the_warnings(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_data.main([*flags, "--count=5", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["output"] == str(tmp_path / "sheet.png")
    assert list(printed["classes"]) == list("0123456789")
    assert sum(counts["train"] for counts in printed["classes"].values()) == 200
    assert printed["warnings"] == []
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 132 + 4, 2 * 150 + 4)


@pytest.mark.parametrize("residence", ["host", "device"])
def test_mixed_pictures_are_shown_with_both_their_classes(
    residence: str, flags: list[str], tmp_path: pathlib.Path
) -> None:
    inspect_data.main([*flags, "--count=4", f"--config.data.residence={residence}", "--config.augment.mixup=1.0"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 132 + 4, 2 * (132 + 2 * 18) + 4)
