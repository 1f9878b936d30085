"""PNG pictures: soft bands of colour.

A pixel's colour is `across[x] + down[y]` in a palette of 256 that ends where it begins. Two neighbouring rows then
differ by one constant, so PNG's "up" filter turns every row but the first into a run of one byte. A megapixel takes
milliseconds to encode and a few kilobytes to store.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from math import cos, sin, tau

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INDEXED = 3
FILTER_NONE, FILTER_UP = b"\x00", b"\x02"
ROWS_AT_ONCE = 64
"""Rows handed to zlib per call: few enough to hold little memory, many enough that calls are rare."""


def png_picture(seed: bytes, width: int, height: int) -> bytes:
    """A picture of `width` by `height` pixels, 8 bits each, with its palette."""
    across = wave(width, laps=1 + seed[0] % 3, reach=60 + seed[1] % 60, start=seed[2] / 256)
    down = wave(height, laps=1 + seed[3] % 3, reach=60 + seed[4] % 60, start=seed[5] / 256)
    header = struct.pack(">IIBBBBB", width, height, 8, INDEXED, 0, 0, 0)
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", _palette(seed[6:9])),
            _chunk(b"IDAT", _pixels(across, down)),
            _chunk(b"IEND", b""),
        )
    )


def wave(length: int, *, laps: int, reach: int, start: float) -> list[int]:
    """`length` samples of two summed sines, each from `-reach` to `reach`; `start` is the phase, 0 to 1."""
    turns = [tau * (start + laps * place / length) for place in range(length)]
    return [round(reach * (0.7 * sin(turn) + 0.3 * sin(2.0 * turn + 1.0))) for turn in turns]


def _palette(phases: bytes) -> bytes:
    """256 colours in a ring: red, green and blue each follow one cosine, at their own phase."""
    return bytes(round(150 + 90 * cos(tau * (i + phase) / 256)) for i in range(256) for phase in phases)


def _pixels(across: list[int], down: list[int]) -> bytes:
    # Runs are all there is to find, so the run-length strategy and a small window lose nothing and save time and
    # memory: zlib's defaults take 256 KiB per picture in the making.
    encoder = zlib.compressobj(level=1, wbits=12, memLevel=5, strategy=zlib.Z_RLE)
    width = len(across)
    parts = [encoder.compress(FILTER_NONE + bytes((value + down[0]) % 256 for value in across))]
    rows = [FILTER_UP + bytes(((below - above) % 256,)) * width for above, below in pairwise(down)]
    for first in range(0, len(rows), ROWS_AT_ONCE):
        parts.append(encoder.compress(b"".join(rows[first : first + ROWS_AT_ONCE])))
    parts.append(encoder.flush())
    return b"".join(parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
