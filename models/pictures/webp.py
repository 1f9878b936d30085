"""WebP: a RIFF file of chunks (RFC 9649, section 2)."""

from __future__ import annotations

import struct

from models.pictures.orientation import as_exif, of_exif
from models.pictures.parts import MOST_PARTS, Animated, Damaged, Found

EXTENDED, LOSSY, LOSSLESS, EXIF = b"VP8X", b"VP8 ", b"VP8L", b"EXIF"
ANIMATION = (b"ANIM", b"ANMF")
KEPT = frozenset((EXTENDED, b"ICCP", b"ALPH", LOSSY, LOSSLESS))
HAS_EXIF, HAS_XMP, IS_ANIMATED = 0x08, 0x04, 0x02
"""Flags of the extended header."""


def looks_like(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> Found:
    """Raises `Damaged`, `Animated`."""
    end = int.from_bytes(data[4:8], "little") + 8
    if end < 20 or len(data) < end:
        raise Damaged("it ends too soon")
    chunks: list[tuple[bytes, bytes]] = []
    orientation, at, parts = 1, 12, 0
    while at < end:
        parts += 1
        if parts > MOST_PARTS:
            raise Damaged("it is made of too many chunks")
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise Damaged("it ends too soon")
        body = data[at + 8 : at + 8 + length]
        if name in ANIMATION:
            raise Animated
        if name == EXIF:
            # Some writers begin it as it would begin in a JPEG.
            orientation = of_exif(body.removeprefix(b"Exif\0\0"))
        elif name in KEPT:
            chunks.append((name, body))
        at += 8 + length + length % 2
    return _whole(chunks, orientation)


def _whole(chunks: list[tuple[bytes, bytes]], orientation: int) -> Found:
    pictures = [(name, body) for name, body in chunks if name in (LOSSY, LOSSLESS)]
    if len(pictures) != 1:
        raise Damaged("there is not one picture in it")
    size = _size(*pictures[0])
    exif = as_exif(orientation)
    if chunks[0][0] == EXTENDED:
        header = chunks[0][1]
        if len(header) != 10:
            raise Damaged("its header is not whole")
        if header[0] & IS_ANIMATED:
            raise Animated
        canvas = int.from_bytes(header[4:7], "little") + 1, int.from_bytes(header[7:10], "little") + 1
        if canvas != size:
            raise Damaged("it says two sizes")
        flags = header[0] & ~(HAS_EXIF | HAS_XMP) | (HAS_EXIF if exif else 0)
        chunks = [(EXTENDED, bytes((flags,)) + header[1:]), *chunks[1:], *([(EXIF, exif)] if exif else [])]
    elif len(chunks) != 1:
        raise Damaged("it does not begin with its header")
    kept = [name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks]
    return Found(*size, [b"RIFF" + struct.pack("<I", 4 + sum(map(len, kept))) + b"WEBP", *kept])


def _size(name: bytes, body: bytes) -> tuple[int, int]:
    if name == LOSSY and len(body) > 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        size = width & 0x3FFF, height & 0x3FFF
    elif name == LOSSLESS and len(body) > 5 and body[0] == 0x2F:
        packed = int.from_bytes(body[1:5], "little")
        size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        raise Damaged("its picture has no header")
    if 0 in size:
        raise Damaged("there is no picture in it")
    return size
