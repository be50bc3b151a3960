import functools
import http.server
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mobilenet_v2.data.builders.cifar10 import CLASSES, Cifar10
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import DataError
from tests.data.pictures import pack

TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]


def batch(seed: int, count: int = 4) -> np.ndarray:
    """Records as the published files have them: a label, then three planes."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.integers(0, 10, (count, 1)), rng.integers(0, 256, (count, 3072))], 1).astype(np.uint8)


def archive(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"cifar-10-batches-bin/{name}": content for name, content in files.items()}


WHOLE = {**{name: batch(seed).tobytes() for seed, name in enumerate(TRAIN)}, "test_batch.bin": batch(9).tobytes()}


@pytest.fixture
def served(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A folder that this machine serves, which the builder takes for the publisher's."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(_Silent, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(Cifar10, "URL", f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz")
        yield tmp_path / "served"
        server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def test_records_become_png_of_the_same_pixels(served: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pack(served / "cifar-10-binary.tar.gz", archive(WHOLE), "w:gz")
    dataset = open_dataset("cifar10", str(tmp_path / "data"))
    assert dataset.class_names == CLASSES
    for split, seeds in (("train", range(5)), ("test", [9])):
        source = dataset.split(split)
        rows = {row["id"].decode(): row for row in (source[index] for index in range(len(source)))}
        published = np.concatenate([batch(seed) for seed in seeds])
        assert sorted(rows) == [f"{split}_{index:05d}" for index in range(len(published))]
        for index, record in enumerate(published):
            row = rows[f"{split}_{index:05d}"]
            assert row["label"] == record[0]
            assert row["image"].startswith(b"\x89PNG")
            np.testing.assert_array_equal(decode(row["image"]), record[1:].reshape(3, 32, 32).transpose(1, 2, 0))
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    "files, says",
    [
        (
            {name: content for name, content in WHOLE.items() if "5" not in name},
            r"holds no file cifar-10-batches-bin/data_batch_5\.bin",
        ),
        ({**WHOLE, "test_batch.bin": b"short"}, r"5 bytes of test_batch\.bin, must be a multiple of 3073"),
    ],
)
def test_an_archive_of_something_else_is_named(
    files: dict[str, bytes], says: str, served: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pack(served / "cifar-10-binary.tar.gz", archive(files), "w:gz")
    with pytest.raises(DataError, match=f"'cifar10' can't be prepared in .*{says}"):
        open_dataset("cifar10", str(tmp_path / "data"))


def test_a_truncated_archive_is_refused(served: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = pack(served / "cifar-10-binary.tar.gz", archive(WHOLE), "w:gz")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"'cifar10' can't be prepared in .*gz.* can't be read: "):
        open_dataset("cifar10", str(tmp_path / "data"))


def test_a_download_that_fails_is_one_line(served: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"'cifar10' can't be prepared in .*404") as caught:
        open_dataset("cifar10", str(tmp_path / "data"))
    assert "\n" not in str(caught.value)


def test_a_server_out_of_reach_is_told_at_once_with_where_the_file_may_be_put(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Cifar10, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    where = tmp_path / "data" / "downloads" / "manual" / "cifar-10-binary.tar.gz"
    with pytest.raises(DataError, match=rf"http://127.* can't be reached; download it elsewhere and put it at {where}"):
        open_dataset("cifar10", str(tmp_path / "data"))


def test_what_was_downloaded_before_needs_no_server(
    served: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(served / "cifar-10-binary.tar.gz", archive(WHOLE), "w:gz")
    open_dataset("cifar10", str(tmp_path / "data"))
    shutil.rmtree(tmp_path / "data" / "cifar10")
    path.unlink()
    assert len(open_dataset("cifar10", str(tmp_path / "data")).split("test")) == 4


def test_a_file_put_there_by_hand_must_be_the_published_one(tmp_path: pathlib.Path) -> None:
    manual = tmp_path / "data" / "downloads" / "manual"
    manual.mkdir(parents=True)
    pack(manual / "cifar-10-binary.tar.gz", archive(WHOLE), "w:gz")
    with pytest.raises(DataError, match=r"'cifar10' can't be prepared in .*cifar-10-binary.tar.gz.* wrong checksum"):
        open_dataset("cifar10", str(tmp_path / "data"))
