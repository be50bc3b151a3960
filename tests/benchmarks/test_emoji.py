import io
import json
import pathlib
import sys
import tarfile

import pytest

from benchmarks import emoji

FLAGS, SMILEYS, TONES = "Flags", "Smileys & Emotion", "Component"


def entry(code: str, category: str) -> dict[str, str]:
    return {"unified": code, "image": f"{code.lower()}.png", "category": category}


ENTRIES = [entry(f"1F60{digit}", SMILEYS) for digit in range(10)] + [entry("1F1E6", FLAGS), entry("1F3FB", TONES)]


def pack(folder: pathlib.Path, vendor: str, files: dict[str, bytes] | None = None) -> pathlib.Path:
    """An archive as npm's: the table, a picture of 64 pixels an entry, one of 32 pixels, and what `files` adds."""
    contents = {"package/img/other/64/1f600.png": b"of another vendor", f"package/img/{vendor}/32/1f600.png": b"small"}
    contents |= {f"package/img/{vendor}/64/{e['image']}": f"{vendor} {e['image']}".encode() for e in ENTRIES}
    contents |= {"package/emoji.json": json.dumps(ENTRIES).encode(), **(files or {})}
    path = folder / f"emoji-datasource-{vendor}-16.0.0.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, encoded in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(encoded)
            tar.addfile(member, io.BytesIO(encoded))
    return path


def test_pictures_lie_by_split_and_category_with_their_bytes(tmp_path: pathlib.Path) -> None:
    assert emoji.unpack(pack(tmp_path, "google"), "google", tmp_path / "emoji") == 11
    for each in ENTRIES[:-1]:
        split = "validation" if emoji.is_validation(each["unified"]) else "train"
        label = "flags" if each["category"] == FLAGS else "smileys_and_emotion"
        written = tmp_path / "emoji" / split / label / f"google-{each['image']}"
        assert written.read_bytes() == f"google {each['image']}".encode()


def test_components_other_sizes_and_pictures_outside_the_table_are_left_out(tmp_path: pathlib.Path) -> None:
    package = pack(tmp_path, "google", {"package/img/google/64/2764.png": b"in no table"})
    emoji.unpack(package, "google", tmp_path / "emoji")
    names = [path.name for path in (tmp_path / "emoji").rglob("*.png")]
    assert sorted(names) == sorted(f"google-{each['image']}" for each in ENTRIES[:-1])


def test_both_drawings_of_an_emoji_are_on_one_side(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for vendor in ("google", "twitter"):
        pack(tmp_path, vendor)
    output = tmp_path / "emoji"
    monkeypatch.setattr(sys, "argv", ["emoji", f"--packages={tmp_path}", f"--output={output}"])
    emoji.main()
    assert capsys.readouterr().out == "".join(f"11 pictures of {v} in {output}\n" for v in ("google", "twitter"))
    sides = {
        vendor: {(path.parts[-3], path.name.removeprefix(f"{vendor}-")) for path in output.rglob(f"{vendor}-*.png")}
        for vendor in ("google", "twitter")
    }
    assert len(sides["google"]) == 11
    assert sides["google"] == sides["twitter"]


def test_about_a_fifth_of_the_code_points_is_for_validation() -> None:
    share = sum(emoji.is_validation(f"{code:X}") for code in range(0x1F000, 0x1F800)) / 0x800
    assert 0.17 < share < 0.23


def test_a_package_without_its_table_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("package/readme"))
    with pytest.raises(OSError, match=r"holds no file package/emoji\.json"):
        emoji.unpack(path, "google", tmp_path / "emoji")
