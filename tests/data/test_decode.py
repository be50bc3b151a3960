import contextlib
import io
import itertools
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from mobilenet_v2.data.decode import decode
from tests.data.oversized import OVERSIZED

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


@pytest.mark.parametrize("channels, mode", [(3, "RGB"), (1, "L")])
def test_cmyk_becomes_the_colours_that_pillow_sees_to_two_levels(channels: int, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    data = encoded(Image.fromarray(noise, "CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert(mode)).reshape(48, 64, channels)
    difference = np.abs(decode(data, channels).astype(int) - expected)
    assert difference.max() == 2
    assert (difference == 2).mean() < 0.1


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


def transparent_grey(kind: str) -> tuple[bytes, Image.Image]:
    """Encoded, and as Pillow reads it."""
    options: dict[str, Any] = {"transparency": 7} if kind == "PNG, one level" else {}
    grey = Image.fromarray(picture()[..., 0] // 32 * 32 + 7) if options else rgba().convert("LA")
    data = encoded(grey, kind.split(",")[0], **options)
    return data, Image.open(io.BytesIO(data)).convert("RGBA")


@pytest.mark.parametrize("kind", ["PNG, one level", "TIFF", "JPEG2000"])
@pytest.mark.parametrize("channels", [3, 1])
def test_what_is_transparent_in_a_grey_image_shows_the_background_too(kind: str, channels: int) -> None:
    data, image = transparent_grey(kind)
    assert np.asarray(image)[..., 3].min() == 0
    behind = Image.new("RGBA", image.size, (10, 200, 90, 255))
    behind.alpha_composite(image)
    expected = np.asarray(behind.convert("RGB" if channels == 3 else "L")).reshape(48, 64, channels)
    assert np.abs(decode(data, channels, background=(10, 200, 90)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("value", [float("inf"), "six", 9, -1])
def test_an_orientation_that_makes_no_sense_turns_nothing(value: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = bytearray(encoded(rgb(), "TIFF", exif=exif))
    if value == 9 or value == -1:
        exif[0x0112] = value % 65536
        text = bytearray(encoded(rgb(), "TIFF", exif=exif))
    else:  # a number of another type: one double, or text
        place = text.index(b"\x12\x01\x03\x00")
        kind = b"\x0c\x00\x01\0\0\0" if value == float("inf") else b"\x02\x00\x04\0\0\0"
        text[place + 2 : place + 8] = kind
        if value == float("inf"):
            text[place + 8 : place + 12] = len(text).to_bytes(4, "little")
            text += np.array(value).tobytes()
        else:
            text[place + 8 : place + 12] = b"six\0"
    np.testing.assert_array_equal(decode(bytes(text), exif_orientation=True), picture())


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_if_asked(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(rgb(), name, exif=exif.tobytes())
    stored = rgb() if name == "TIFF" else Image.open(io.BytesIO(data))  # that Pillow would turn by itself
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    # OpenCV's and Pillow's libavif round colours differently.
    most = 2 if name == "AVIF" else 0
    assert np.abs(decode(data, exif_orientation=True).astype(int) - upright).max() <= most
    assert np.abs(decode(data).astype(int) - np.asarray(stored.convert("RGB"))).max() <= most


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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("before", [b"\xff\xc0", b"\xff\xd9"], ids=["frame", "end"])
def test_stray_bytes_in_a_jpeg_are_passed_over(before: bytes, channels: int, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(rgb(), "JPEG")
    stray = data.replace(before, b"\0\0\0" + before)
    np.testing.assert_array_equal(decode(stray, channels), decode(data, channels))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", sorted(OVERSIZED))
def test_no_memory_is_taken_for_an_image_that_promises_too_many_pixels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, pixels = OVERSIZED[name]()
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("decoded"))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *arguments: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=rf"of {pixels} pixels, must be at most 89478485"):
        decode(data)


def test_a_png_with_a_wrong_checksum_is_damaged_unless_the_chunk_is_ancillary() -> None:
    data = bytearray(encoded(rgb()))
    pixels = data.index(b"IDAT")
    data[pixels + 40] ^= 1
    with pytest.raises(ValueError, match=r"can't decode an image of \d+ bytes, a PNG whose chunk IDAT is damaged"):
        decode(bytes(data))
    note = b"\0\0\0\x05tEXta\0bcd" + b"\0\0\0\0"  # with a wrong checksum
    data = encoded(rgb())
    np.testing.assert_array_equal(decode(data[:33] + note + data[33:]), picture())


@pytest.mark.parametrize("name", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "JPEG"])
def test_a_damaged_image_makes_no_library_write_lines_of_its_own(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, rng = (
        encoded(rgb(), name, **({"compression": "tiff_lzw"} if name == "TIFF" else {})),
        np.random.default_rng(0),
    )
    for _ in range(30):
        damaged = bytearray(data)
        damaged[rng.integers(8, len(data))] ^= int(rng.integers(1, 256))
        for half in (damaged, damaged[: len(data) // 2]):
            with contextlib.suppress(ValueError):
                decode(bytes(half))
    assert capfd.readouterr().err == ""


def test_notes_of_a_png_that_are_nonsense_make_no_library_write_lines(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(rgb())
    for name, text in itertools.product((b"eXIf", b"iCCP", b"tEXt", b"iTXt"), (b"", b"nonsense", bytes(range(256)))):
        note = struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text))
        np.testing.assert_array_equal(decode(data[:33] + note + data[33:]), picture())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint32, np.float32, np.float64])
def test_numbers_that_are_no_pixels_of_8_or_16_bits_are_named(kind: Any) -> None:
    data = cv2.imencode(".tiff", picture()[..., 0].astype(kind))[1].tobytes()
    found = np.dtype(kind).name
    with pytest.raises(ValueError, match=rf"whose pixels are of type {found}, must be uint8 or uint16"):
        decode(data)


@pytest.mark.parametrize("name", ["TIFF", "PPM", "JPEG2000", "AVIF"])
def test_other_formats_are_read_as_pillow_reads_them(name: str) -> None:
    data = encoded(rgb(), name)
    difference = decode(data).astype(int) - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(difference).max() <= 3


def test_a_header_that_promises_more_than_opencv_takes_is_unreadable() -> None:
    png = bytearray(encoded(Image.fromarray(np.zeros((2, 2), np.uint8))))
    png[16:24] = (65536).to_bytes(4, "big") + (32768).to_bytes(4, "big")
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(ValueError, match="can't decode an image"):
        decode(bytes(png))
