"""How long a film is, by its own words: services do not say it, and models round what was ordered as they like."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error, unpack_from

BOX = Struct(">I4s")

MOST_BOXES = 1_000
"""At each of the two levels; a film has about ten."""

LONGEST_SECONDS = 24 * 3600


def seconds_of(film: bytes) -> int | None:
    """Whole seconds of an MP4 or QuickTime film, at least 1; None if it does not say."""
    try:
        for start, end in _boxes(film, b"moov", 0, len(film)):
            for head, _ in _boxes(film, b"mvhd", start, end):
                # Version and flags, two times, then units in a second and how many there are.
                layout = ">QQIQ" if film[head] else ">IIII"
                scale, units = map(int, unpack_from(layout, film, head + 4)[-2:])
                if scale and 0 < units <= scale * LONGEST_SECONDS:
                    return max(1, round(units / scale))
    except (error, IndexError):
        pass
    return None


def _boxes(film: bytes, name: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the bodies of the boxes with this name begin and end."""
    for _ in range(MOST_BOXES):
        if start + BOX.size > end:
            return
        size, kind = BOX.unpack_from(film, start)
        body = start + BOX.size
        if size == 1:
            (size,) = unpack_from(">Q", film, body)
            body += 8
        after = start + size if size else end
        if after < body or after > end:
            return
        if kind == name:
            yield body, after
        start = after
