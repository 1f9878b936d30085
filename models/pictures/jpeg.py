"""JPEG: markers, segments and scans (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct

from models.pictures.orientation import as_exif, of_exif
from models.pictures.parts import MOST_PARTS, Damaged, Found

START, END, SCAN = 0xD8, 0xD9, 0xDA
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame. All but three of them are of kinds that hardly anybody writes and few can read."""

TABLES = frozenset((0xC4, 0xDB, 0xDD))
"""Huffman and quantization tables, and how often scans restart."""

JFIF, EXIF, ICC, ADOBE = (0xE0, b"JFIF\0"), (0xE1, b"Exif\0\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe")
"""Application segments by marker and first bytes. What Adobe's says is needed to get the colours right."""

MOST_SCANS = 100
"""A progressive picture has some ten. Each may take all the pixels' time in a few bytes, so a hostile file would have
a hundred thousand and take minutes."""

NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""In a scan, where 0xFF is followed by 0 when it is data, and by D0 to D7 where the decoder can take hold again."""


def looks_like(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def read(data: bytes) -> Found:
    """Raises `Damaged`."""
    size: tuple[int, int] | None = None
    head: list[bytes] = []
    body: list[bytes] = []
    orientation = 1
    at, scans, parts = 2, 0, 0
    while True:
        parts += 1
        if parts > MOST_PARTS:
            raise Damaged("it is made of too many segments")
        marker, start = _marker(data, at)
        if marker == END:
            break
        segment = _segment(data, start)
        at = start + len(segment)
        whole = bytes((0xFF, marker)) + segment
        if _is(marker, segment, JFIF):
            # Without the small preview that may follow.
            head.append(b"\xff\xe0\x00\x10" + segment[2:14].ljust(12, b"\0") + b"\0\0")
        elif _is(marker, segment, EXIF):
            orientation = of_exif(segment[8:])
        elif _is(marker, segment, ICC) or _is(marker, segment, ADOBE) or marker in TABLES:
            body.append(whole)
        elif marker in FRAMES:
            if size is not None or marker not in (BASELINE, EXTENDED, PROGRESSIVE) or len(segment) < 8:
                raise Damaged("it is not of the usual kinds")
            height, width = struct.unpack_from(">HH", segment, 3)
            size = width, height
            body.append(whole)
        elif marker == SCAN:
            scans += 1
            found = NEXT_MARKER.search(data, at)
            if size is None or found is None:
                raise Damaged("it ends too soon" if size else "it does not say its size")
            if scans > MOST_SCANS:
                raise Damaged("it is made of too many scans")
            body.append(whole + data[at : found.start()])
            at = found.start()
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            raise Damaged("it is not of the usual kinds")
    if size is None or 0 in size or not scans:
        raise Damaged("there is no picture in it")
    exif = as_exif(orientation)
    if exif:
        head.append(b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif)
    return Found(*size, [b"\xff\xd8", *head, *body, b"\xff\xd9"])


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker that begins at `at`, and where what belongs to it begins."""
    if data[at : at + 1] not in (b"\xff", b""):
        raise Damaged("there is something between its segments")
    end = at
    while data[end : end + 1] == b"\xff":
        end += 1
    if end >= len(data):
        raise Damaged("it ends too soon")
    return data[end], end + 1


def _segment(data: bytes, start: int) -> bytes:
    """The segment with its length, which counts its own two bytes."""
    length = int.from_bytes(data[start : start + 2], "big")
    if length < 2 or len(data) < start + length:
        raise Damaged("it ends too soon")
    return data[start : start + length]


def _is(marker: int, segment: bytes, kind: tuple[int, bytes]) -> bool:
    return marker == kind[0] and segment.startswith(kind[1], 2)
