"""What the header of an encoded image says, before memory is taken for its pixels.

Only formats whose size is found here are decoded, so that the limit on pixels holds for all of them. Where a file can
say its size in more than one place, the largest counts: the decoder may believe any.
"""

import re
import struct
import zlib
from collections.abc import Iterator

import simplejpeg

FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM, JPEG 2000 or AVIF"
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

# Of a PNG: the bit of a chunk's name that says so, and what says something of the pixels, or of their colours' profile.
_ANCILLARY = 0x20
_NOTES = (b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"tIME")

_BMP_OF_OS2 = 12  # bytes of its header
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # by type: BYTE, SHORT, LONG, LONG8
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_AVIF_SIZE = re.compile(rb"\0\0\0\x14ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)  # ISO/IEC 23008-12, §6.5.3
_JPEG_2000_SIZE = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})", re.DOTALL)  # ISO/IEC 15444-1, §A.5.1


def image_size(encoded: bytes) -> tuple[int, int] | None:
    """(width, height) of an image of one of `FORMATS`, by its content.

    None where it is none of these, or ends before it says so.
    """
    readers = {
        JPEG: _jpeg,
        PNG: _png,
        b"GIF8": _gif,
        b"BM": _bmp,
        b"RIFF": _webp,
        b"II": _tiff,
        b"MM": _tiff,
        b"P": _pnm,
        b"\xff\x4f\xff\x51": _jpeg_2000,
        b"\0\0\0\x0cjP  ": _jpeg_2000,
    }
    reader = next((reader for magic, reader in readers.items() if encoded.startswith(magic)), None)
    if encoded[4:8] == b"ftyp":
        reader = _avif
    try:
        return reader(encoded) if reader else None
    except (struct.error, OverflowError):
        return None


def bare_png(png: bytes) -> bytes:
    """A PNG without notes, and without ancillary chunks whose checksum is wrong: libpng would write lines of these.

    No pixel depends on them (PNG 1.2, §10.3). What is cut off stays so.

    Raises:
      ValueError: if the checksum of a critical chunk is wrong.
    """
    kept, begin, place = [], 0, len(PNG)
    while place + 12 <= len(png):
        length, name = struct.unpack_from(">I4s", png, place)
        end = place + 8 + length
        if end + 4 > len(png):
            break
        whole = zlib.crc32(memoryview(png)[place + 4 : end]) == int.from_bytes(png[end : end + 4], "big")
        if not whole and not name[0] & _ANCILLARY:
            raise ValueError(
                f"can't decode an image of {len(png)} bytes, a PNG whose chunk {name.decode('latin-1')} is damaged"
            )
        if not whole or name in _NOTES:
            kept.append(png[begin:place])
            begin = end + 4
        place = end + 4
    return b"".join([*kept, png[begin:]]) if kept else png


def _jpeg(encoded: bytes) -> tuple[int, int] | None:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(encoded, strict=False)
    except (ValueError, KeyError):  # the latter where it ends before it says what colours it has
        return None
    return int(width), int(height)


def _png(encoded: bytes) -> tuple[int, int]:
    return struct.unpack_from(">II", encoded, 16)


def _gif(encoded: bytes) -> tuple[int, int]:
    return struct.unpack_from("<HH", encoded, 6)


def _bmp(encoded: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", encoded, 14)
    width, height = struct.unpack_from("<HH" if header == _BMP_OF_OS2 else "<ii", encoded, 18)
    return abs(width), abs(height)  # a negative height is that of rows from the top down


def _webp(encoded: bytes) -> tuple[int, int] | None:
    """WebP container specification; RFC 6386, §9.1; WebP lossless bitstream specification, §3."""
    kind = encoded[8:16]
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", encoded, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", encoded, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8X" and len(encoded) >= 30:
        return int.from_bytes(encoded[24:27], "little") + 1, int.from_bytes(encoded[27:30], "little") + 1
    return None


def _tiff(encoded: bytes) -> tuple[int, int] | None:
    """Of the first directory (TIFF 6.0, §2; BigTIFF, too)."""
    order = "<" if encoded[:2] == b"II" else ">"
    sizes: dict[int, int] = {}
    for tag, value in _tiff_integers(encoded, order):
        sizes.setdefault(tag, value)  # of a tag that is there twice the first counts, as for libtiff
    return (sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT]) if {_TIFF_WIDTH, _TIFF_HEIGHT} <= sizes.keys() else None


def _tiff_integers(encoded: bytes, order: str) -> Iterator[tuple[int, int]]:
    """(tag, value) of the first directory's unsigned integers."""
    (version,) = struct.unpack_from(f"{order}H", encoded, 2)
    if version not in (42, 43):
        return
    place, counter, entry, value_at = (4, "I", 12, 8) if version == 42 else (8, "Q", 20, 12)
    (directory,) = struct.unpack_from(f"{order}{counter}", encoded, place)
    first = "H" if version == 42 else "Q"
    (count,) = struct.unpack_from(f"{order}{first}", encoded, directory)
    start = directory + struct.calcsize(f"{order}{first}")
    for at in range(start, min(start + count * entry, len(encoded)), entry):
        tag, kind = struct.unpack_from(f"{order}HH", encoded, at)
        if kind in _TIFF_INTEGERS:
            yield tag, struct.unpack_from(f"{order}{_TIFF_INTEGERS[kind]}", encoded, at + value_at)[0]


def _pnm(encoded: bytes) -> tuple[int, int] | None:
    found = _PNM.match(encoded)
    return (int(found[1]), int(found[2])) if found else None


def _jpeg_2000(encoded: bytes) -> tuple[int, int] | None:
    return _largest(_JPEG_2000_SIZE, encoded)


def _avif(encoded: bytes) -> tuple[int, int] | None:
    return _largest(_AVIF_SIZE, encoded)


def _largest(pattern: re.Pattern[bytes], encoded: bytes) -> tuple[int, int] | None:
    sizes = [(int.from_bytes(m[1], "big"), int.from_bytes(m[2], "big")) for m in pattern.finditer(encoded)]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
