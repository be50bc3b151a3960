import json
import pathlib
import shutil

import pytest

from mobilenet_v2.commands import prepare
from mobilenet_v2.errors import ConfigError
from tests.data.pictures import TWO_CLASSES, fill

# ml_collections reads config files with a method that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.fixture
def flags(tmp_path: pathlib.Path) -> list[str]:
    folder = fill(tmp_path / "pictures", TWO_CLASSES)
    (folder / "notes.txt").write_text("mine")
    data_dir = f"--config.data.data_dir={tmp_path / 'data'}"
    config = [
        f"--config={CONFIGS / 'image_folder.py'}",
        f"--config.data.folder={folder}",
        "--config.model.num_classes=2",
    ]
    return ["prepare", *config, data_dir]


def test_it_says_what_it_made_and_where(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare.main([*flags, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert pathlib.Path(printed["folder"]).is_relative_to(tmp_path / "data" / "image_folder")
    assert printed["classes"] == ["cat", "dog"]
    assert {name: split["examples"] for name, split in printed["splits"].items()} == {"train": 6, "validation": 6}
    assert all(split["bytes"] > 6 * 100 for split in printed["splits"].values())
    assert printed["unreadable"] == []
    assert printed["other_files"] == ["notes.txt"]


def test_too_few_logits_for_the_classes_are_refused_before_anything_is_prepared(
    flags: list[str], tmp_path: pathlib.Path
) -> None:
    for split in ("train", "validation"):
        shutil.copytree(tmp_path / "pictures" / split / "cat", tmp_path / "pictures" / split / "bird")
    with pytest.raises(ConfigError, match=r"config\.model\.num_classes is 2, must be at least 3, the classes of"):
        prepare.main([*flags, "--config.model.num_classes=2"])
    assert not list((tmp_path / "data").rglob("*.array_record*"))


def test_what_is_prepared_is_told_again(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    prepare.main(flags)
    first = capsys.readouterr()
    prepare.main(flags)
    assert capsys.readouterr() == first
    assert first.err == ""
    assert "is prepared in" in first.out
    assert "2 classes: cat, dog\n" in first.out
    assert "left out 1 files that are no pictures, 'notes.txt' first\n" in first.out


def test_pictures_left_out_are_counted_and_their_list_is_named(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures" / "train" / "cat" / "0.png").write_bytes(b"damaged")
    prepare.main([*flags, "--config.data.skip_unreadable=True"])
    out = capsys.readouterr().out
    assert "left out 1 that can't be read, named in " in out
    (path,) = [line.split(" named in ")[1] for line in out.splitlines() if " named in " in line]
    assert pathlib.Path(path).read_text().startswith("'train/cat/0.png' (can't decode")


def test_any_data_set_of_ours_is_prepared(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare.main(["prepare", f"--config={CONFIGS / 'digits.py'}", f"--config.data.data_dir={tmp_path}"])
    out = capsys.readouterr().out
    assert f"digits/1.0.0 is prepared in {tmp_path / 'digits' / '1.0.0'}" in out
    assert "│ train      │    1,257 │" in out
