from typing import Any

import pytest

from mobilenet_v2.data.image_headers import damaged_chunk, image_size
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


def test_a_png_that_is_whole_or_cut_off_has_no_damaged_chunk() -> None:
    data = encoded("PNG")
    assert {damaged_chunk(data[:end]) for end in range(len(data) + 1)} == {None}
    damaged = bytearray(data)
    damaged[20] ^= 1
    assert damaged_chunk(bytes(damaged)) == "IHDR"
