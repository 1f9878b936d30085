"""Pictures: what is one, how large it is, and what of it is kept.

The formats are PNG, JPEG, WebP and GIF, each with one still picture. `read` walks through the container, which costs
next to nothing however large the picture is: it finds the size before anything is decoded, and leaves out what is not
the picture: places, cameras, comments, previews, whatever hangs behind the end. What is kept is kept byte for byte,
so no quality is lost; a note which way up the picture is stays (`orientation.py`), and so does its colour profile.
That the pixels can be decoded as well is for `worker/decoding.py` to prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from models.errors import PictureRefused
from models.pictures import gif, jpeg, png, webp
from models.pictures.parts import Animated, Damaged, Found

FORMATS: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], Found]]] = {
    "image/png": (png.looks_like, png.read),
    "image/jpeg": (jpeg.looks_like, jpeg.read),
    "image/webp": (webp.looks_like, webp.read),
    "image/gif": (gif.looks_like, gif.read),
}
"""By media type: how it is told from its first bytes, and how it is read."""

ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
"""By media type: how names of such files end."""

ALSO_CALLED = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
"""What some programs say instead of the registered name."""


LONGEST_SIDE = 65_535
"""Pixels. Only PNG can have more, and a picture that is one pixel wide and forty million high is nobody's."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One still picture. `width` and `height` are pixels as they are stored, before any turning that it asks for."""

    media_type: str
    width: int
    height: int
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read(data: bytes, *, most_pixels: int, declared: str | None = None) -> Picture:
    """Tell what picture these bytes are, whatever their sender calls them, without what is not the picture.

    Raises `PictureRefused`: the bytes are of no format that is taken, or of another one than `declared`; it is
    animated, damaged, or has more than `most_pixels` in all or `LONGEST_SIDE` on a side.
    """
    media_type = next((name for name, (looks_like, _) in FORMATS.items() if looks_like(data)), None)
    if media_type is None:
        raise PictureRefused("format", "This is no PNG, JPEG, WebP or GIF.")
    if declared is not None and ALSO_CALLED.get(declared, declared) != media_type:
        raise PictureRefused("type", f"It is declared as {declared}, but what came is {media_type}.")
    try:
        found = FORMATS[media_type][1](data)
    except Animated:
        raise PictureRefused("animated", "Only still pictures are taken; this one is animated.") from None
    except Damaged as error:
        raise PictureRefused("damaged", f"This {ENDINGS[media_type].upper()} is damaged: {error}.") from None
    if found.width * found.height > most_pixels or max(found.width, found.height) > LONGEST_SIDE:
        raise PictureRefused(
            "pixels",
            f"This picture has {found.width} × {found.height} pixels; at most {most_pixels} in all are taken, and "
            f"{LONGEST_SIDE} on a side.",
            most_pixels=most_pixels,
        )
    return Picture(media_type, found.width, found.height, b"".join(found.kept))
