"""PNG: a signature and chunks (W3C, Portable Network Graphics, third edition, section 5)."""

from __future__ import annotations

import struct
import zlib

from models.pictures.orientation import as_exif, of_exif
from models.pictures.parts import MOST_PARTS, Animated, Damaged, Found

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = frozenset((
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs",
))  # fmt: skip
"""The picture and its colours. Text, times, histograms and what programs keep for themselves is left out."""

ANCILLARY = 0x20
"""This bit of the first letter: a reader that does not know the chunk may leave it out."""


def looks_like(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def read(data: bytes) -> Found:
    """Raises `Damaged`, `Animated`."""
    width = height = 0
    kept, at, parts = [SIGNATURE], len(SIGNATURE), 0
    seen: set[bytes] = set()
    while b"IEND" not in seen:
        parts += 1
        if parts > MOST_PARTS:
            raise Damaged("it is made of too many chunks")
        if len(data) < at + 12:
            raise Damaged("it ends too soon")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if len(data) < end:
            raise Damaged("it ends too soon")
        chunk = data[at:end]
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise Damaged("a checksum is wrong")
        if (name == b"IHDR") == bool(seen) or (name == b"IHDR" and length != 13):
            raise Damaged("it does not begin with its header")
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", chunk, 8)
        elif name == b"acTL":
            raise Animated
        elif name == b"eXIf":
            kept += _exif_chunk(of_exif(chunk[8:-4])) if b"eXIf" not in seen else []
        elif name not in KEPT and not name[0] & ANCILLARY:
            raise Damaged("it needs something that nobody knows")
        if name in KEPT:
            kept.append(chunk)
        seen.add(name)
        at = end
    if b"IDAT" not in seen or not (width and height):
        raise Damaged("there is no picture in it")
    return Found(width, height, kept)


def _exif_chunk(orientation: int) -> list[bytes]:
    exif = as_exif(orientation)
    if not exif:
        return []
    body = b"eXIf" + exif
    return [struct.pack(">I", len(exif)) + body + struct.pack(">I", zlib.crc32(body))]
