import pathlib

import pytest

from mobilenet_v2.data.builders.archives import open_tar, read_member
from tests.data.pictures import pack


def read_all(path: pathlib.Path) -> list[bytes]:
    with open_tar(path, "r|*") as tar:
        return [read_member(tar, member) for member in tar]


def test_a_file_is_read_by_its_name_or_where_it_is_met(tmp_path: pathlib.Path) -> None:
    path = pack(tmp_path / "a.tar", {"x": b"1", "y/z": b"2"})
    with open_tar(path, "r:") as tar:
        assert read_member(tar, "y/z") == b"2"
        assert [read_member(tar, member) for member in tar] == [b"1", b"2"]


def test_a_file_that_is_not_there_is_named_with_the_archive(tmp_path: pathlib.Path) -> None:
    path = pack(tmp_path / "a.tar", {"x": b"1"})
    with open_tar(path, "r:") as tar, pytest.raises(OSError, match=r"a\.tar holds no file y"):
        read_member(tar, "y")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_archive_is_named_wherever_that_shows(mode: str, tmp_path: pathlib.Path) -> None:
    path = pack(tmp_path / "a.tar", {str(index): bytes([index]) * 5000 for index in range(9)}, mode)
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(OSError, match=r"a\.tar can't be read"):
            read_all(path)
