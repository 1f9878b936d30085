"""Which way up a picture is: the one thing out of its Exif data that is kept.

A telephone stores pictures as its sensor lies and notes how they are to be turned. Without the note they would lie on
their side; with the rest of the data they would tell where they were taken.
"""

from __future__ import annotations

import struct

UPRIGHT = 1
TAG, SHORT = 0x0112, 3


def of_exif(exif: bytes) -> int:
    """The orientation, 1 to 8, that a block of Exif data (a TIFF file) notes; 1, which is upright, if it notes none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for n in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * n)
            if (tag, kind, count) == (TAG, SHORT, 1):
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass  # what is not there notes nothing
    return UPRIGHT


def as_exif(orientation: int) -> bytes:
    """A block of Exif data that notes this orientation and nothing else; empty for upright."""
    if orientation == UPRIGHT:
        return b""
    return struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, TAG, SHORT, 1, orientation, 0, 0)
