import pathlib
import shutil
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
