"""Small files of each format whose headers promise more pixels than are decoded."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 64, 48  # as written
HUGE = 16383  # pixels a side; WebP has no more


def encoded(name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(stream, name, **options)
    return stream.getvalue()


def patched(place: int, form: str, *sides: int, name: str, **options: Any) -> Callable[[], tuple[bytes, int]]:
    """A file of this format with these numbers at a place of its header, and the pixels that it then promises."""

    def make() -> tuple[bytes, int]:
        data = bytearray(encoded(name, **options))
        struct.pack_into(form, data, place, *sides)
        return bytes(data), HUGE**2

    return make


def replaced(form: str, *, name: str, sides: tuple[int, int] = (HUGE, HUGE), **options: Any) -> Any:
    """As `patched`, wherever width and height stand in the file one after the other."""

    def make() -> tuple[bytes, int]:
        data = encoded(name, **options)
        old = struct.pack(form, *((WIDTH, HEIGHT) if sides[0] == HUGE else sides))
        assert old in data
        return data.replace(old, struct.pack(form, HUGE, HUGE)), HUGE**2

    return make


def tiff(order: str, big: bool) -> Callable[[], tuple[bytes, int]]:
    """A TIFF that is a header and a directory of width and height alone."""

    def make() -> tuple[bytes, int]:
        mark = b"II" if order == "<" else b"MM"
        if big:
            data = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16) + struct.pack(f"{order}Q", 2)
            return data + b"".join(struct.pack(f"{order}HHQQ", tag, 16, 1, HUGE) for tag in (256, 257)), HUGE**2
        data = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", 2)
        return data + b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, HUGE, 0) for tag in (256, 257)), HUGE**2

    return make


OVERSIZED: dict[str, Callable[[], tuple[bytes, int]]] = {
    "PNG": patched(16, ">II", HUGE, HUGE, name="PNG"),
    "GIF": patched(6, "<HH", HUGE, HUGE, name="GIF"),
    "BMP": patched(18, "<ii", HUGE, HUGE, name="BMP"),
    "BMP from the top": patched(18, "<ii", HUGE, -HUGE, name="BMP"),
    "WebP": patched(26, "<HH", HUGE, HUGE, name="WEBP"),
    "WebP lossless": patched(21, "<I", HUGE - 1 | HUGE - 1 << 14, name="WEBP", lossless=True),
    "WebP extended": patched(24, "<IH", HUGE - 1 | (HUGE - 1 & 0xFF) << 24, HUGE - 1 >> 8, name="WEBP", exif=b"Exif"),
    "JPEG": replaced(">HH", name="JPEG", sides=(HEIGHT, WIDTH)),
    "JPEG 2000": replaced(">II", name="JPEG2000"),
    "JPEG 2000 codestream": replaced(">II", name="JPEG2000", no_jp2=True),
    "AVIF": replaced(">II", name="AVIF"),
    "PPM": lambda: (f"P6\n# a comment\n{HUGE} {HUGE}\n255\n".encode() + bytes(100), HUGE**2),
    "TIFF": tiff("<", big=False),
    "TIFF, most significant first": tiff(">", big=False),
    "BigTIFF": tiff("<", big=True),
}
