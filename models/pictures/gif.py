"""GIF: a screen and blocks (CompuServe, GIF89a)."""

from __future__ import annotations

import struct

from models.pictures.parts import Animated, Damaged, Found

IMAGE, EXTENSION, TRAILER = 0x2C, 0x21, 0x3B
GRAPHIC_CONTROL = 0xF9
"""The extension that says which colour is transparent. Comments and what programs keep for themselves is left out."""

HAS_COLOURS = 0x80
"""This bit says that a table of colours follows."""

SHORTEST_BLOCK = 64
"""Bytes that a block of data has at least, taken all together, if it was not made to take long: encoders fill them to
254 or 255."""


def looks_like(data: bytes) -> bool:
    return data[:6] in (b"GIF87a", b"GIF89a")


def read(data: bytes) -> Found:
    """Raises `Damaged`, `Animated`."""
    if len(data) < 13:
        raise Damaged("it ends too soon")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    kept, pictures = [data[:at]], 0
    steps = 1_000 + len(data) // SHORTEST_BLOCK
    while True:
        start, kind = at, data[at : at + 1]
        if not kind:
            raise Damaged("it ends too soon")
        if kind[0] == TRAILER:
            break
        if kind[0] == IMAGE:
            pictures += 1
            if pictures > 1:
                raise Animated
            at = _frame(data, at, width, height)
        elif kind[0] == EXTENSION:
            at += 2
        else:
            raise Damaged("it has a block that nobody knows")
        at, steps = _end_of_blocks(data, at, steps)
        if kind[0] == IMAGE or data[start + 1] == GRAPHIC_CONTROL:
            kept.append(data[start:at])
    if not (pictures and width and height):
        raise Damaged("there is no picture in it")
    return Found(width, height, [*kept, bytes((TRAILER,))])


def _colours(flags: int) -> int:
    """How many bytes the table of colours has."""
    return 3 << ((flags & 7) + 1) if flags & HAS_COLOURS else 0


def _frame(data: bytes, at: int, width: int, height: int) -> int:
    """Where the data of a picture begins, once its place on the screen is a good one."""
    if len(data) < at + 10:
        raise Damaged("it ends too soon")
    left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
    if not (wide and high) or left + wide > width or top + high > height:
        raise Damaged("its picture is not within its screen")
    return at + 10 + _colours(flags) + 1


def _end_of_blocks(data: bytes, at: int, steps: int) -> tuple[int, int]:
    """Where a row of data blocks has ended, and how many more may be walked over."""
    while True:
        if at >= len(data):
            raise Damaged("it ends too soon")
        length = data[at]
        at += 1 + length
        steps -= 1
        if not length:
            return at, steps
        if steps < 0:
            raise Damaged("it is made of too many blocks")
