"""LevelDB's sorted string tables, as TensorFlow writes a checkpoint's index: keys to values, in order.

A block is entries (key prefix shared with the last key, key remainder, value), then restart offsets; five bytes of
compression type and checksum follow it. The footer points to the index block, whose values point to the data blocks
(leveldb/doc/table_format.md).
"""

from collections.abc import Iterator

import google_crc32c

from mobilenet_v2.errors import WeightsError

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_SIZE, _TRAILER_SIZE = 48, 5
_LONGEST_KEY, _MAX_KEYS = 4096, 64


def is_table(content: bytes) -> bool:
    """Whether `content` ends as a table does."""
    return len(content) >= _FOOTER_SIZE and content[-8:] == _MAGIC


def entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields (key, value) in the order of keys.

    Raises:
      WeightsError: if `content` is no table, or damaged, or its blocks are compressed: TensorFlow's indices are not;
        or if the keys, which share beginnings, together are far longer than the table.
      IndexError: where it points beyond its end.
    """
    if not is_table(content):
        raise WeightsError("it does not end as a TensorFlow checkpoint's index does")
    _, position = _handle(content, len(content) - _FOOTER_SIZE)
    index, _ = _handle(content, position)
    total, keys = 0, 0
    for _, value in _block(content, index):
        data, _ = _handle(value, 0)
        total += data[1]
        if total > len(content):
            raise WeightsError("its blocks overlap")
        for key, found in _block(content, data):
            keys += len(key)
            if keys > _MAX_KEYS * len(content):
                raise WeightsError("its names are far longer than it is")
            yield key, found


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as LevelDB and TensorFlow store it (leveldb/util/crc32c.h)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned integer of 7 bits a byte, lowest first, and the position after it.

    Raises:
      IndexError: if the data ends before it does.
      WeightsError: if it has more than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WeightsError("it holds an integer of more than 64 bits")


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(content: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    offset, size = handle
    block = content[offset : offset + size]
    if len(block) != size or size < 4 or offset + size + _TRAILER_SIZE > len(content):
        raise WeightsError("it points beyond its end")
    if content[offset + size] != 0:
        raise WeightsError("its blocks are compressed, must be plain")
    if masked_crc(content[offset : offset + size + 1]) != int.from_bytes(
        content[offset + size + 1 : offset + size + _TRAILER_SIZE], "little"
    ):
        raise WeightsError("it is damaged: a block has another CRC-32C than it states")
    restarts = int.from_bytes(block[-4:], "little")
    end, position, key = size - 4 * (restarts + 1), 0, b""
    while position < end:
        shared, position = varint(block, position)
        rest, position = varint(block, position)
        length, position = varint(block, position)
        key = key[:shared] + block[position : position + rest]
        position += rest
        if len(key) > _LONGEST_KEY:
            raise WeightsError("it holds a name longer than any variable has")
        yield key, block[position : position + length]
        position += length
