"""Files that must be refused: how each is made, and what its one line must hold."""

import json
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
from safetensors.numpy import save_file

from tests.weights import files, small
from tests.weights.bad_pickles import (
    pickle_that_ends_like_a_zip,
    pickle_that_runs,
    pth_of_a_huge_view,
    pth_of_a_meta_tensor,
    pth_of_a_tensor,
    pth_of_a_tensor_without_strides,
    pth_that_inflates,
    pth_that_runs,
)


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def text(path: pathlib.Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def truncated_safetensors(path: pathlib.Path) -> None:
    save_file(small.arrays("timm"), path)
    os.truncate(path, path.stat().st_size // 2)


def safetensors_of_a_huge_header(path: pathlib.Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + b'{"a": 1}')


def safetensors_of_a_huge_shape(path: pathlib.Path) -> None:
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = json.dumps({"conv_stem.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))


def safetensors_of_integers(path: pathlib.Path) -> None:
    save_file({"conv_stem.weight": np.ones((3, 3), np.int8)}, path)


def another_network(path: pathlib.Path) -> None:
    save_file({"layer1.0.conv1.weight": np.ones((3, 3), np.float32)}, path)


def missing_layer(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({name: array for name, array in arrays.items() if not name.startswith("blocks.3.2.conv_dw")}, path)


def extra_layer(path: pathlib.Path) -> None:
    save_file({**small.arrays("torchvision"), "features.3.se.weight": np.ones(3, np.float32)}, path)


def widths_of_no_multiplier(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({**arrays, "blocks.6.0.conv_pwl.weight": np.ones((36, 96, 1, 1), np.float32)}, path)


def kernel_of_another_size(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({**arrays, "blocks.3.1.conv_dw.weight": np.ones((48, 1, 5, 5), np.float32)}, path)


def kernel_of_another_rank(path: pathlib.Path) -> None:
    save_file({**small.arrays("timm"), "conv_stem.weight": np.ones((8, 27), np.float32)}, path)


def classifier_of_two_axes(path: pathlib.Path) -> None:
    name = "MobilenetV2/Logits/Conv2d_1c_1x1/weights"
    save_file({**small.arrays("slim"), name: np.ones((128, 5), np.float32)}, path)


def not_finite(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({**arrays, "bn1.weight": np.full_like(arrays["bn1.weight"], np.nan)}, path)


def infinite_in_float32(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({**arrays, "bn1.weight": np.full(arrays["bn1.weight"].shape, 1e300)}, path)


def negative_variance(path: pathlib.Path) -> None:
    arrays = small.arrays("timm")
    save_file({**arrays, "bn1.running_var": -arrays["bn1.running_var"]}, path)


def truncated_h5(path: pathlib.Path) -> None:
    files.write_legacy_h5(path, small.arrays("keras"))
    os.truncate(path, path.stat().st_size // 2)


def h5_of_a_huge_shape(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("Conv1/Conv1/kernel:0", (2**20, 2**20), np.float32, chunks=(64, 64))


def h5_that_inflates(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("Conv1/Conv1/kernel:0", data=np.zeros((4096, 4096), np.float32), compression="gzip")


def h5_of_a_huge_chunk(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        chunked = {"maxshape": (None,), "chunks": (2**23,), "compression": "gzip"}
        file.create_dataset("Conv1/Conv1/kernel:0", data=np.ones(4, np.float32), **chunked)


def h5_of_another_file_s_data(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("Conv1/Conv1/kernel:0", (4,), np.float32, external=[("/etc/passwd", 0, 16)])


def h5_that_links_to_another_file(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")


def h5_of_groups_in_a_circle(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("layers")
        group["layers"] = group
        group["again"] = file["/"]


def keras_archive_that_inflates(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**24))


def zip_of_something_else(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.h5", b"no")


def truncated_zip(path: pathlib.Path) -> None:
    files.write_keras_3(path, {"conv2d:0/0": np.ones((3, 3, 3, 8), np.float32)})
    os.truncate(path, path.stat().st_size - 30)


def index_without_data(path: pathlib.Path) -> None:
    files.write_checkpoint(path, small.arrays("slim"))
    path.with_name(f"{path.name}.data-00000-of-00001").unlink()


def index_of_truncated_data(path: pathlib.Path) -> None:
    files.write_checkpoint(path, small.arrays("slim"))
    os.truncate(path.with_name(f"{path.name}.data-00000-of-00001"), 1000)


def index_of_a_huge_shape(path: pathlib.Path) -> None:
    dims = b"\x12\x08" + b"\x08" + files.varint(2**45)
    path.write_bytes(files.table({b"": b"\x08\x01", b"MobilenetV2/Conv/weights": b"\x08\x01\x12\x0a" + dims}))


def index_of_a_shape_beyond_int64(path: pathlib.Path) -> None:
    dims = b"\x12\x02\x08\x00\x12\x0b\x08" + files.varint(2**64 - 1)
    entry = b"\x08\x01\x12" + files.varint(len(dims)) + dims
    path.write_bytes(files.table({b"": b"\x08\x01", b"MobilenetV2/Conv/weights": entry}))


def damaged_index(path: pathlib.Path) -> None:
    files.write_checkpoint(path, small.arrays("slim"))
    index = path.with_name(f"{path.name}.index")
    content = bytearray(index.read_bytes())
    content[len(content) // 2 :: 7] = b"\xff" * len(content[len(content) // 2 :: 7])
    content[-8:] = bytes.fromhex("57fb808b247547db")
    index.write_bytes(content)


def ours_without_description(path: pathlib.Path) -> None:
    save_file({"params/stem/conv/kernel": np.ones((3, 3, 3, 8), np.float32)}, path, {"format": "mobilenet_v2 1"})


def ours_of_a_field_that_can_t_be(path: pathlib.Path) -> None:
    ours_without_description(path)
    description = {"format": "mobilenet_v2 1", "source": "x", "model": {"padding": "valid"}}
    path.with_suffix(".json").write_text(json.dumps(description))


def ours_of_a_damaged_description(path: pathlib.Path) -> None:
    ours_without_description(path)
    path.with_suffix(".json").write_text('{"format": ')


def folder_of_two(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "a.safetensors").touch()
    (path / "b.safetensors").touch()


# Maker → what the line must hold beside the file's name.
BAD_FILES: dict[Callable[[pathlib.Path], None], list[str]] = {
    empty: ["is empty", "safetensors, PyTorch .pth, Keras"],
    text: ["starts with b'version '", "must be a file of safetensors"],
    truncated_safetensors: ["no whole safetensors file"],
    safetensors_of_a_huge_header: ["no whole safetensors file"],
    safetensors_of_a_huge_shape: ["no whole safetensors file"],
    safetensors_of_integers: ["'conv_stem.weight' as I8", "F32"],
    another_network: ["no MobileNet of torchvision, d-li14, timm", "'layer1.0.conv1.weight'"],
    missing_layer: ["262 arrays of timm's mobilenet_v2", "missing: 'blocks.3.2.conv_dw.weight'"],
    extra_layer: ["262 arrays of torchvision's", "not expected: 'features.3.se.weight'"],
    widths_of_no_multiplier: ["36]", "no width multiplier"],
    kernel_of_another_size: ["block_07/depthwise/conv/kernel: (5, 5, 1, 48) for (3, 3, 1, 48)"],
    kernel_of_another_rank: ["'conv_stem.weight' has shape (8, 27), must have 4 axes"],
    classifier_of_two_axes: ["has shape (128, 5), must be [1, 1, in, out]"],
    not_finite: ["'params/stem/bn/scale'", "not finite"],
    negative_variance: ["negative variances in 'batch_stats/stem/bn/var'"],
    truncated_h5: ["no whole HDF5 file"],
    h5_of_a_huge_shape: ["'Conv1/Conv1/kernel:0' of shape (1048576, 1048576)", "at most"],
    h5_that_inflates: ["'Conv1/Conv1/kernel:0' of shape (4096, 4096)", "it stores"],
    h5_of_another_file_s_data: ["'Conv1/Conv1/kernel:0' in another file"],
    h5_that_links_to_another_file: ["a link at 'model_weights'"],
    h5_of_groups_in_a_circle: ["without any array"],
    keras_archive_that_inflates: ["inflates model.weights.h5 to 16777216 bytes"],
    zip_of_something_else: ["zip archive of neither Keras nor PyTorch"],
    truncated_zip: ["no whole zip archive"],
    pickle_that_runs: ["PyTorch"],
    pth_that_runs: ["PyTorch"],
    pth_of_a_tensor: ["holds a Tensor, must hold a state dict"],
    pth_of_a_huge_view: ["'features.0.0.weight' of shape (68719476736,)"],
    pth_that_inflates: ["inflates from"],
    index_without_data: ["needs", "data-00000-of-00001' beside it"],
    index_of_truncated_data: ["holds 1000 bytes, must hold"],
    index_of_a_shape_beyond_int64: ["'MobilenetV2/Conv/weights' of shape (0, 18446744073709551615)"],
    infinite_in_float32: ["'params/stem/bn/scale'", "not finite in float32"],
    h5_of_a_huge_chunk: ["'Conv1/Conv1/kernel:0' of shape (4,) in chunks of (8388608,)"],
    pth_of_a_meta_tensor: ["'features.0.0.weight'", "on device meta"],
    pth_of_a_tensor_without_strides: ["'features.0.0.weight' of shape (1024,)", "stores 4 bytes"],
    pickle_that_ends_like_a_zip: ["no whole zip archive"],
    index_of_a_huge_shape: ["'MobilenetV2/Conv/weights' of shape (35184372088832,)"],
    damaged_index: ["no whole checkpoint index"],
    ours_without_description: ["needs 'file.json' beside it"],
    ours_of_a_field_that_can_t_be: ["states padding 'valid'", "'same', 'symmetric'"],
    ours_of_a_damaged_description: ["'file.json' is damaged"],
    folder_of_two: ["must hold one weight file, found a.safetensors, b.safetensors, or be a run's folder"],
}
