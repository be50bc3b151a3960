import os
import pathlib
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from mobilenet_v2.data.picture_files import list_files
from mobilenet_v2.errors import DataError
from tests.data.pictures import fill, pack, picture

NAMES = ["cat/1.png", "cat/deep/2.png", "dog/3.png"]


@pytest.fixture(params=["folder", "tar", "zip"])
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    folder = fill(tmp_path / "pictures", NAMES)
    if request.param == "folder":
        return folder
    return pathlib.Path(shutil.make_archive(str(tmp_path / "packed"), request.param, folder))


def test_a_folder_and_an_archive_of_it_list_the_same(root: pathlib.Path) -> None:
    listing = list_files(root)
    assert list(listing.files) == NAMES
    assert listing.folders == {"cat", "cat/deep", "dog"}
    assert [size for size, _ in listing.files.values()] == [len(picture(name)) for name in NAMES]


def test_threads_read_the_same_bytes_in_any_order(root: pathlib.Path) -> None:
    with list_files(root).reader() as read, ThreadPoolExecutor(4) as pool:
        wanted = NAMES[::-1] * 20
        assert list(pool.map(read, wanted)) == [picture(name) for name in wanted]


@pytest.mark.parametrize(
    "litter", [".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "__MACOSX/cat/1.png", ".git/x.png"]
)
def test_hidden_files_and_litter_are_left_out(litter: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "pictures"
    for name in [*NAMES, litter]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    tar = shutil.make_archive(str(tmp_path / "packed"), "tar", folder)
    assert list(list_files(folder).files) == list(list_files(tar).files) == NAMES
    assert list_files(folder).folders == list_files(tar).folders == {"cat", "cat/deep", "dog"}


def test_a_link_back_to_a_folder_above_is_not_followed_but_other_links_are(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    elsewhere = fill(tmp_path / "elsewhere", ["4.png"])
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "cat" / "itself").symlink_to("itself")
    (folder / "horse").symlink_to(elsewhere)
    names = list(list_files(folder).files)
    assert names == sorted([*NAMES, "cat/itself", "horse/4.png"])


def test_a_link_to_nothing_is_listed_and_fails_when_it_is_read(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    (folder / "cat" / "gone.png").symlink_to("nowhere.png")
    listing = list_files(folder)
    assert listing.files["cat/gone.png"] == (0, 0)
    with listing.reader() as read, pytest.raises(FileNotFoundError):
        read("cat/gone.png")


def archive_with(path: pathlib.Path, name: str, kind: bytes, target: str) -> pathlib.Path:
    """A .tar of NAMES and a link."""
    fill(path / "pictures", NAMES)
    tar = pathlib.Path(shutil.make_archive(str(path / "packed"), "tar", path / "pictures"))
    link = tarfile.TarInfo(name)
    link.type, link.linkname = kind, target
    with tarfile.open(tar, "a") as archive:
        archive.addfile(link)
    return tar


@pytest.mark.parametrize(
    "kind, target", [(tarfile.LNKTYPE, "./cat/deep/2.png"), (tarfile.SYMTYPE, "../cat/deep/2.png")]
)
def test_a_link_within_a_tar_is_the_file_that_it_leads_to(kind: bytes, target: str, tmp_path: pathlib.Path) -> None:
    listing = list_files(archive_with(tmp_path, "dog/link.png", kind, target))
    assert listing.files["dog/link.png"] == listing.files["cat/deep/2.png"]
    with listing.reader() as read:
        assert read("dog/link.png") == picture("cat/deep/2.png")


@pytest.mark.parametrize("target", ["../nowhere.png", "/etc/passwd", "link.png"])
def test_a_link_out_of_a_tar_or_to_itself_fails_when_it_is_read(target: str, tmp_path: pathlib.Path) -> None:
    listing = list_files(archive_with(tmp_path, "dog/link.png", tarfile.SYMTYPE, target))
    with listing.reader() as read, pytest.raises(OSError, match="a link to what is not in the archive"):
        read("dog/link.png")


def test_a_link_to_a_folder_of_a_tar_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"'horse', a link to a folder: unpack the archive"):
        list_files(archive_with(tmp_path, "horse", tarfile.SYMTYPE, "cat"))


@pytest.mark.timeout(20)
def test_a_pipe_is_no_picture_whatever_its_name(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    os.mkfifo(folder / "cat" / "pipe.png")
    assert list(list_files(folder).files) == NAMES


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_picture_that_changed_is_another_version_in_an_archive_too(kind: str, tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    before = list_files(shutil.make_archive(str(tmp_path / "before"), kind, folder)).files
    changed = bytearray((folder / "dog/3.png").read_bytes())
    changed[-1] ^= 1
    (folder / "dog/3.png").write_bytes(changed)
    os.utime(folder / "dog/3.png", (2e9, 2e9))
    after = list_files(shutil.make_archive(str(tmp_path / "after"), kind, folder)).files
    assert [name for name in NAMES if before[name] != after[name]] == ["dog/3.png"]


def test_a_file_that_may_be_read_at_last_is_another_version(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    readable = list_files(folder).files
    # Who runs the tests as root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("3.png"))
    assert [name for name in NAMES if list_files(folder).files[name] != readable[name]] == ["dog/3.png"]


def test_an_empty_folder_is_listed(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "pictures", NAMES)
    (folder / "horse").mkdir()
    assert "horse" in list_files(folder).folders
    assert "horse" in list_files(shutil.make_archive(str(tmp_path / "packed"), "tar", folder)).folders


def test_a_damaged_file_of_a_zip_fails_when_it_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", picture("1.png"))
    path.write_bytes(path.read_bytes().replace(picture("1.png")[40:60], bytes(20)))
    with list_files(path).reader() as read, pytest.raises(OSError, match="CRC"):
        read("cat/1.png")


def test_what_is_neither_folder_nor_archive_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.tar").write_text("mine")
    pack(tmp_path / "packed.tgz", {"cat/1.png": b"x"}, mode="w:gz")
    for name, says in [
        ("none", "does not exist"),
        ("text.tar", r"must be a folder, a \.zip, or a \.tar that is not compressed"),
        ("packed.tgz", r"a \.tar that is not compressed"),
    ]:
        with pytest.raises(DataError, match=rf"config\.data\.folder is '.*{name}', .*{says}"):
            list_files(tmp_path / name)
