import pathlib

import numpy as np
import pytest

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights import sorted_table, tensor_bundle
from tests.weights import files

# What TensorFlow 2.21 wrote of a float32 variable "a/b" = [[1, 2, 3]] "a/bias" = 5 and "step" = 7, integers.
INDEX = bytes.fromhex(
    "00000608011a020801000313612f62080112081202080112020803280c35735b897103030d69617308031200200c280435d9"
    "c69c4300040d73746570080912002010280835bbd79f11000000000100000000105b2f3c000000000100000000c0f2a1b000"
    "01027400510000000001000000006d49c85f5608630e00000000000000000000000000000000000000000000000000000000"
    "000000000000000057fb808b247547db"
)
DATA = bytes.fromhex("0000803f0000004000004040050000000700000000000000")


def test_a_checkpoint_of_tensorflow_s_own_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.index").write_bytes(INDEX)
    (tmp_path / "m.data-00000-of-00001").write_bytes(DATA)
    arrays = tensor_bundle.read(tmp_path / "m.index")
    assert list(arrays) == ["a/b"]
    np.testing.assert_array_equal(arrays["a/b"], np.array([[1, 2, 3]], np.float32))


def test_keys_that_share_a_beginning_are_put_together() -> None:
    keys = [key for key, _ in sorted_table.entries(INDEX)]
    assert keys == [b"", b"a/b", b"a/bias", b"step"]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63])
def test_variable_length_integers_are_read_back(value: int) -> None:
    encoded = files.varint(value)
    assert sorted_table.varint(b"x" + encoded + b"y", 1) == (value, 1 + len(encoded))


def test_an_integer_without_end_is_refused() -> None:
    with pytest.raises(WeightsError, match="more than 64 bits"):
        sorted_table.varint(b"\xff" * 20, 0)


def test_compressed_blocks_are_refused() -> None:
    content = bytearray(files.table({b"": b"\x08\x01"}))
    content[-48 - (8 + 5) - 5] = 1  # of the index: footer, the empty block and trailers come after it
    with pytest.raises(WeightsError, match="compressed"):
        list(sorted_table.entries(bytes(content)))


def test_a_flipped_bit_of_the_data_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.index").write_bytes(INDEX)
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(WeightsError, match=r"'m\.data-00000-of-00001' is damaged: 'a/b'"):
        tensor_bundle.read(tmp_path / "m.index")


def test_a_flipped_bit_of_the_index_is_found() -> None:
    with pytest.raises(WeightsError, match="a block has another CRC-32C"):
        list(sorted_table.entries(INDEX[:9] + bytes([INDEX[9] ^ 1]) + INDEX[10:]))


def test_names_that_share_beginnings_may_not_be_far_longer_than_the_table() -> None:
    first = files.varint(0) + files.varint(4000) + files.varint(0) + b"k" * 4000
    again = files.varint(4000) + files.varint(0) + files.varint(0)
    with pytest.raises(WeightsError, match="names are far longer"):
        list(sorted_table.entries(files.table_of_blocks(first + 2000 * again)))
