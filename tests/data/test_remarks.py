import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenet_v2.data.remarks import remarks

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(name: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, name, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_further_frames_are_told(name: str) -> None:
    frames = [Image.fromarray(np.roll(PIXELS, 8 * step, axis=1)) for step in range(3)]
    (said,) = remarks(encoded(name, save_all=True, append_images=frames[1:]))
    assert "the first is looked at" in said


def test_inks_and_transparency_are_told() -> None:
    (inks,) = remarks(encoded("JPEG", "CMYK"))
    assert "CMYK" in inks
    (transparency,) = remarks(encoded("PNG", "RGBA"))
    assert "transparent" in transparency


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_of_an_ordinary_picture_nothing_is_said(name: str) -> None:
    assert remarks(encoded(name)) == []


@pytest.mark.parametrize("data", [b"", b"no image", encoded("PNG")[:20]])
def test_what_pillow_can_not_open_has_none(data: bytes) -> None:
    assert remarks(data) == []
