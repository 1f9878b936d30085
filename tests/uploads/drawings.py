"""Pictures for the tests, drawn with Pillow, and hostile ones made by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
PLACE = "Brandenburger Tor 52.5163 13.3777"
"""What must not be kept."""


def picture(media_type: str = "image/png", size: tuple[int, int] = (40, 30), *, seed: int = 0, **how: Any) -> bytes:
    """A small picture with something to see in it; another one for each `seed`."""
    drawn = Image.radial_gradient("L").resize(size).point(lambda value: (value + 40 * seed) % 256)
    made = Image.merge("RGB", (drawn, drawn.rotate(90), drawn.rotate(180)))
    return save(made, media_type, **how)


def save(made: Image.Image, media_type: str, **how: Any) -> bytes:
    file = io.BytesIO()
    made.save(file, FORMATS[media_type], **how)
    return file.getvalue()


def animated(media_type: str, frames: int = 3) -> bytes:
    pictures = [Image.new("RGB", (8, 8), ((0, 0, 0), (255, 255, 255))[n % 2]) for n in range(frames)]
    return save(pictures[0], media_type, save_all=True, append_images=pictures[1:], duration=50, loop=0)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010E] = PLACE  # the description
    made.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 59.0), 3: "E", 4: (13.0, 22.0, 40.0)})  # where it was taken
    return made


def pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as opened:
        return opened.size, opened.convert("RGBA").tobytes()


def orientation(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as opened:
        return int(opened.getexif().get(0x0112, 1))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with(*chunks: bytes, width: int = 40, height: int = 30, data: bytes | None = None) -> bytes:
    """A grey PNG whose header says this size, with `chunks` before its data."""
    rows = (b"\0" + b"\x7f" * width) * height if data is None else data
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def jpeg_with(*segments: tuple[int, bytes], size: tuple[int, int] = (40, 30), **how: Any) -> bytes:
    """A JPEG with these segments, by marker, before all others."""
    whole = picture("image/jpeg", size, **how)
    more = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return whole[:2] + more + whole[2:]


def many_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = picture("image/jpeg", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]
