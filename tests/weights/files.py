"""Writers of files that the readers must understand, in the formats of others: as small as they can be."""

import pathlib
import zipfile

import h5py
import numpy as np

from mobilenet_v2.weights.arrays import Arrays


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC = [_crc_of_byte(value) for value in range(256)]


def write_legacy_h5(
    path: pathlib.Path, arrays: Arrays, *, nested: str = "", rename: dict[str, str] | None = None
) -> None:
    """Keras's legacy `.h5` of a whole model; `nested` is the name of a model inside it."""
    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(name.split("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [nested] if nested else [(rename or {}).get(name, name) for name in layers]
        for layer, names in layers.items():
            called = (rename or {}).get(layer, layer)
            group = weights.require_group(nested or called)
            local = [f"{called}/{name.split('/')[1]}:0" for name in names]
            group.attrs["weight_names"] = [*group.attrs.get("weight_names", []), *local]
            for name, weight in zip(names, local, strict=True):
                group.create_dataset(weight, data=arrays[name])


def write_keras_3(path: pathlib.Path, numbered: Arrays) -> None:
    """A `.keras` archive of arrays by `conv2d:1/0`."""
    inner = path.with_suffix(".inner")
    with h5py.File(inner, "w") as file:
        for name, array in numbered.items():
            kind, _, rest = name.partition(":")
            index, _, variable = rest.partition("/")
            layer = kind if index == "0" else f"{kind}_{index}"
            file.create_dataset(f"layers/functional/layers/{layer}/vars/{variable}", data=array)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(inner, "model.weights.h5")
    inner.unlink()


def write_checkpoint(prefix: pathlib.Path, arrays: Arrays) -> None:
    """A TensorFlow checkpoint of one data file: `prefix`.index and `prefix`.data-00000-of-00001."""
    data, entries = b"", {b"": b"\x08\x01"}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        dims = b"".join(_bytes(2, b"\x08" + varint(size)) for size in array.shape)
        dtype = {"f": 1, "i": 9}[array.dtype.kind]
        place = b"\x20" + varint(len(data)) + b"\x28" + varint(array.nbytes) + b"\x35" + _checksum(array.tobytes())
        entries[name.encode()] = b"\x08" + varint(dtype) + _bytes(2, dims) + place
        data += array.tobytes()
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def table(entries: dict[bytes, bytes]) -> bytes:
    """A sorted string table of one block, keys whole."""
    return table_of_blocks(_entries(entries))


def table_of_blocks(body: bytes) -> bytes:
    """A sorted string table of the one block that has these entries."""
    block = body + bytes(4) + (1).to_bytes(4, "little")
    index = _block({b"\xff": varint(0) + varint(len(block))})
    start, meta = len(block) + 5, len(block) + len(index) + 10
    empty = _block({})
    footer = (varint(meta) + varint(len(empty)) + varint(start) + varint(len(index))).ljust(40, b"\0")
    blocks = b"".join(part + b"\0" + _checksum(part + b"\0") for part in (block, index, empty))
    return blocks + footer + bytes.fromhex("57fb808b247547db")


def _checksum(content: bytes) -> bytes:
    """CRC-32C by its definition, bit for bit a byte at a time, masked as TensorFlow stores it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def varint(value: int) -> bytes:
    """7 bits a byte, lowest first."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def _block(entries: dict[bytes, bytes]) -> bytes:
    return _entries(entries) + bytes(4) + (1).to_bytes(4, "little")


def _entries(entries: dict[bytes, bytes]) -> bytes:
    return b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in sorted(entries.items())
    )


def _bytes(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content
