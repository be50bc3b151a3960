import struct
import zlib
from typing import Any

import pytest

from mobilenet_v2.data.image_headers import PNG, bare_png, image_size
from tests.data.oversized import HEIGHT, WIDTH, encoded


@pytest.mark.parametrize(
    "name, options",
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif"}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"big_tiff": True}),
        ("PPM", {}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("AVIF", {}),
    ],
)
def test_width_and_height_are_those_that_were_written(name: str, options: dict[str, Any]) -> None:
    data = encoded(name, **options)
    assert image_size(data) == (WIDTH, HEIGHT)
    # However early a file ends, that is no error of Python's.
    assert {image_size(data[:end]) for end in range(min(len(data), 700))} <= {None, (WIDTH, HEIGHT)}


@pytest.mark.parametrize("data", [b"P6 3 5 255 ", b"P5\n# 9 9\n# of a camera\n3\n5\n255\n", b"P4\n3\t5\n"])
def test_netpbm_headers_have_comments_and_any_white_space(data: bytes) -> None:
    assert image_size(data) == (3, 5)


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"\0\0\0\x1cftypheic", b"II*\0\xff\xff\xff\xff", b"II+\0" + b"\xff" * 12]
)
def test_what_says_no_size_has_none(data: bytes) -> None:
    assert image_size(data) is None


def test_a_png_without_notes_is_as_it_was_whole_or_cut_off() -> None:
    data = encoded("PNG")
    assert all(bare_png(data[:end]) == data[:end] for end in range(len(data) + 1))


def test_a_png_whose_size_is_damaged_is_refused_by_the_chunks_name() -> None:
    damaged = bytearray(encoded("PNG"))
    damaged[20] ^= 1
    with pytest.raises(ValueError, match="a PNG whose chunk IHDR is damaged"):
        bare_png(bytes(damaged))


def test_notes_and_damaged_ancillary_chunks_of_a_png_are_left_out() -> None:
    data = encoded("PNG")
    header = len(PNG) + 25
    for name, right, stays in [
        (b"eXIf", True, False),
        (b"tEXt", False, False),
        (b"gAMA", False, False),
        (b"gAMA", True, True),
    ]:
        checksum = zlib.crc32(name + b"note") ^ (not right)
        note = struct.pack(">I4s4sI", 4, name, b"note", checksum)
        noted = data[:header] + note + data[header:]
        assert bare_png(noted) == (noted if stays else data)
