"""What the readers of the formats have in common."""

from __future__ import annotations

from typing import NamedTuple

MOST_PARTS = 20_000
"""Of how many chunks or segments a file may be made. Encoders that write small ones make some 1,300 out of 10 MiB; each
takes time to walk over, and a hostile file has a million."""


class Damaged(Exception):
    """The file does not hold what its format asks for; the message says what."""


class Animated(Exception):
    """There is more than one picture in it."""


class Found(NamedTuple):
    """What is in a file: the size in pixels, and the pieces that are kept, in order."""

    width: int
    height: int
    kept: list[bytes]
