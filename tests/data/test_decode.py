import io
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mobilenet_v2.data.decode import decode

CORRUPT = [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 40]


def picture(height: int = 48, width: int = 64, channels: int = 3) -> np.ndarray:
    """Smooth, so that JPEG keeps it."""
    seeds = np.random.default_rng(0).integers(0, 256, (6, 8, channels), np.uint8)
    return cv2.resize(seeds, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def encoded(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(picture())


def rgba() -> Image.Image:
    return Image.fromarray(picture(channels=4))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_colours_are_red_green_blue_as_pillow_decodes_them(name: str) -> None:
    data = encoded(rgb(), name)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_a_grey_image_gets_three_equal_channels(name: str) -> None:
    data = encoded(Image.fromarray(picture()[..., 0]), name)
    grey = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(decode(data, channels=1), grey[..., None])


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_colours_are_weighted_where_grey_is_asked_for(name: str) -> None:
    weighted = picture() @ np.array([0.299, 0.587, 0.114])
    grey = decode(encoded(rgb(), name, quality=100), channels=1)
    assert grey.shape == (48, 64, 1)
    assert np.abs(grey[..., 0] - weighted).max() <= 3


def test_cmyk_becomes_the_colours_that_pillow_sees() -> None:
    data = encoded(Image.fromarray(picture(channels=4), "CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode(data).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 90)])
def test_what_is_transparent_shows_the_background(mode: str, background: tuple[int, int, int]) -> None:
    image = rgba().quantize(16) if mode == "P" else rgba().convert(mode)
    behind = Image.new("RGBA", image.size, (*background, 255))
    behind.alpha_composite(image.convert("RGBA"))
    difference = decode(encoded(image), background=background).astype(int) - np.asarray(behind.convert("RGB"))
    assert np.abs(difference).max() <= 1


def test_sixteen_bits_become_eight() -> None:
    deep = picture()[..., 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(deep)), channels=1)[..., 0], picture()[..., 0])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_if_asked(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(rgb(), name, exif=exif.tobytes())
    stored = Image.open(io.BytesIO(data))
    upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(decode(data, exif_orientation=True), upright)
    np.testing.assert_array_equal(decode(data), np.asarray(stored.convert("RGB")))


def test_a_png_is_told_by_its_content() -> None:
    np.testing.assert_array_equal(decode(encoded(rgb())), picture())


@pytest.mark.parametrize("data", CORRUPT)
def test_what_is_no_image_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"can't decode an image of {len(data)} bytes"):
        decode(data)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_no_image(name: str) -> None:
    data = encoded(rgb(), name)
    with pytest.raises(ValueError, match="can't decode an image"):
        decode(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("exif_orientation", [False, True])
def test_a_jpeg_whose_header_promises_a_huge_image_is_unreadable(exif_orientation: bool) -> None:
    data = bytearray(encoded(rgb(), "JPEG"))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = (20000).to_bytes(2, "big") * 2
    with pytest.raises(ValueError, match="of 400000000 pixels, must be at most 89478485"):
        decode(bytes(data), exif_orientation=exif_orientation)


def test_stray_bytes_in_a_jpeg_are_passed_over() -> None:
    data = encoded(rgb(), "JPEG")
    stray = data[:-2] + b"\0\0\0" + data[-2:]
    np.testing.assert_array_equal(decode(stray), decode(data))


def test_a_header_that_promises_more_than_opencv_takes_is_unreadable() -> None:
    png = bytearray(encoded(Image.fromarray(np.zeros((2, 2), np.uint8))))
    png[16:24] = (65536).to_bytes(4, "big") + (32768).to_bytes(4, "big")
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(ValueError, match="can't decode an image"):
        decode(bytes(png))
