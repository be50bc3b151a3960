"""PyTorch files that must be refused, for `bad_files`: some of them would run something if they were trusted."""

import io
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable


class _Touch:
    """A pickle of it makes a file when it is loaded by Python's own unpickler."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("ran",)


def pickle_that_runs(path: pathlib.Path) -> None:
    path.write_bytes(pickle.dumps(_Touch(), protocol=2))


def pth_that_runs(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Touch(), protocol=2))
        archive.writestr("archive/version", "3\n")


def pth_of_a_tensor(path: pathlib.Path) -> None:
    import torch

    torch.save(torch.ones(3), path)


def pth_of_a_huge_view(path: pathlib.Path) -> None:
    import torch

    torch.save({"features.0.0.weight": torch.ones(1).expand(2**36)}, path)


def pth_of_a_meta_tensor(path: pathlib.Path) -> None:
    import torch

    torch.save({"features.0.0.weight": torch.ones(3, device="meta")}, path)


def pth_of_a_tensor_without_strides(path: pathlib.Path) -> None:
    import torch

    torch.save({"features.0.0.weight": torch.ones(1).expand(1024)}, path)


def pickle_that_ends_like_a_zip(path: pathlib.Path) -> None:
    path.write_bytes(pickle.dumps({}, protocol=2) + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 9, 9, 2**20, 2**20, 0))


def pth_that_inflates(path: pathlib.Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/data/0", bytes(2**24))
    path.write_bytes(content.getvalue())
