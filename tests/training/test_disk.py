import errno
import os
import pathlib

import pytest

from mobilenet_v2.errors import TransientError, WorkdirError
from mobilenet_v2.training import disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_what_a_person_must_mend_is_one_line_and_no_reason_to_start_again(number: int, tmp_path: pathlib.Path) -> None:
    told = rf"can't be written \({os.strerror(number)}\); what was saved there is as it was"
    with pytest.raises(WorkdirError, match=told) as caught, disk.told(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_what_may_pass_is_one_line_and_a_launcher_starts_again(number: int, tmp_path: pathlib.Path) -> None:
    with pytest.raises(TransientError, match=os.strerror(number)) as caught, disk.told(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_status == 1


def test_the_reason_is_found_at_the_end_of_a_long_message(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WorkdirError, match=r"\(No space left on device\)"), disk.told(tmp_path):
        raise ValueError(f'INTERNAL: Error writing "{"x" * 300}": {os.strerror(errno.ENOSPC)} [OS error 28: ENOSPC]')


def test_an_error_that_is_not_the_disks_passes_through(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConnectionResetError), disk.told(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(ValueError, match="bug"), disk.told(tmp_path):
        raise ValueError("bug")


def test_a_text_is_written_whole_or_not_at_all(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.write_atomically(tmp_path / "file", "old")

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(WorkdirError):
        disk.write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
