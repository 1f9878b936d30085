"""The little of H.264 (ITU-T H.264) that a still picture under a moving camera needs, in its baseline profile.

The first frame carries raw samples (`I_PCM` macroblocks), which need no entropy coder. Each later frame says one thing
of every macroblock: "as the first frame, moved by this much", which is five bits. All later frames refer to the first
and none refers to them, so nothing drifts. What comes into view lies in a margin that is coded but cropped. The margin
is to the right and below only, because some decoders round a crop on the left and show what should not be seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MACROBLOCK = 16
INTERPOLATION = 3
"""Pixels that a movement by parts of a pixel reads beyond its place; the margin must hold these too."""

PROFILE_BASELINE, COMPATIBILITY, LEVEL_3 = 66, 0xC0, 30
PICTURE_ORDER_BITS = 10
MOST_FRAMES = 1 << (PICTURE_ORDER_BITS - 2)
"""Picture order counts by two per frame, and must stay within half its range of the first frame's."""

NAL_SLICE, NAL_FIRST_SLICE, NAL_SEQUENCE, NAL_PICTURE = 0x01, 0x65, 0x67, 0x68
SLICE_P, SLICE_I = 5, 7
MB_I_PCM = 25


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture as three planes, row by row: luma, and two of chroma at half the width and height.

    `width` and `height` are of the luma, in pixels, whole macroblocks. Samples are never 0, as I_PCM asks.
    """

    width: int
    height: int
    luma: bytes
    blue: bytes
    red: bytes


class Bits:
    """Bits, written from the left."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def fixed(self, value: int, width: int) -> Bits:
        """`value` in `width` bits: u(n)."""
        self._bits.append(f"{value:0{width}b}")
        return self

    def unsigned(self, *values: int) -> Bits:
        """Each value as an Exp-Golomb code: ue(v)."""
        for value in values:
            code = f"{value + 1:b}"
            self._bits.append("0" * (len(code) - 1) + code)
        return self

    def signed(self, *values: int) -> Bits:
        """Each value as a signed Exp-Golomb code: se(v)."""
        return self.unsigned(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def aligned(self) -> bytes:
        """The bytes so far, filled up with zero bits."""
        text = "".join(self._bits)
        size = -(-len(text) // 8)
        return int(text.ljust(size * 8, "0"), 2).to_bytes(size, "big")

    def ended(self) -> bytes:
        """The bytes with the stop bit that ends a NAL unit."""
        return self.fixed(1, 1).aligned()


def sequence_parameters(width: int, height: int, seen_width: int, seen_height: int) -> bytes:
    """The NAL unit that says how large the picture is, in whole macroblocks, and what of it is seen, in even pixels."""
    bits = Bits().fixed(PROFILE_BASELINE, 8).fixed(COMPATIBILITY, 8).fixed(LEVEL_3, 8)
    bits.unsigned(0, 0)  # this set's id; log2 of frame numbers, less 4
    bits.unsigned(0, PICTURE_ORDER_BITS - 4)  # picture order given outright
    bits.unsigned(1).fixed(0, 1)  # one reference frame, no gaps
    bits.unsigned(width // MACROBLOCK - 1, height // MACROBLOCK - 1)
    bits.fixed(0b111, 3)  # whole frames, 8x8 inference, cropping
    bits.unsigned(0, (width - seen_width) // 2, 0, (height - seen_height) // 2)
    # Usability information, only for its last part: frames come out in the order they are stored, so a player shows
    # each as soon as it is decoded.
    bits.fixed(1, 1).fixed(0, 8).fixed(0b11, 2)
    bits.unsigned(0, 0, 10, 10, 0, 1)  # no size limits; movements below 2^10; no reordering; one frame kept
    return bytes((NAL_SEQUENCE,)) + _protected(bits.ended())


def picture_parameters() -> bytes:
    """The NAL unit that chooses plain variable-length coding and lets slices turn the deblocking filter off."""
    bits = Bits().unsigned(0, 0).fixed(0, 2).unsigned(0, 0, 0).fixed(0, 3).signed(0, 0, 0).fixed(0b100, 3)
    return bytes((NAL_PICTURE,)) + _protected(bits.ended())


def first_frame(planes: Planes) -> bytes:
    """The NAL unit of a frame that is `planes`, sample by sample."""
    bits = Bits().unsigned(0, SLICE_I, 0).fixed(0, 4).unsigned(0).fixed(0, PICTURE_ORDER_BITS)
    bits.fixed(0, 2).signed(0).unsigned(1)  # keep as the reference; no change of quantizer; no deblocking
    blocks = _macroblocks(planes)
    # Samples are byte-aligned, so from the second block on, the type before them fills exactly two bytes.
    parts = [bits.unsigned(MB_I_PCM).aligned(), Bits().unsigned(MB_I_PCM).aligned().join(blocks), Bits().ended()]
    return bytes((NAL_FIRST_SLICE,)) + _protected(b"".join(parts))


def moved_frame(number: int, blocks: int, x: int, y: int) -> bytes:
    """The NAL unit of frame `number` (from 1, below `MOST_FRAMES`): the first frame's `blocks` macroblocks, seen from a
    place `x` further right and `y` further down, in quarter pixels.
    """
    bits = Bits().unsigned(0, SLICE_P, 0).fixed(1, 4).fixed(2 * number, PICTURE_ORDER_BITS)
    bits.fixed(0, 2).signed(0).unsigned(1)  # default references; no change of quantizer; no deblocking
    # Per block: none skipped, one 16x16 movement, its difference from what the neighbours predict, no residue. The
    # first block has no neighbours, so it names the movement; for all others the prediction is already right.
    bits.unsigned(0, 0).signed(x, y).unsigned(0)
    bits.fixed((1 << 5 * (blocks - 1)) - 1, 5 * (blocks - 1))
    return bytes((NAL_SLICE,)) + _protected(bits.ended())


def _macroblocks(planes: Planes) -> Sequence[bytes]:
    """The samples of each macroblock, left to right and top to bottom: 256 of luma, then 64 of each chroma."""
    half = planes.width // 2
    blocks = []
    for top in range(0, planes.height, MACROBLOCK):
        for left in range(0, planes.width, MACROBLOCK):
            blocks.append(
                _square(planes.luma, planes.width, left, top, 16)
                + _square(planes.blue, half, left // 2, top // 2, 8)
                + _square(planes.red, half, left // 2, top // 2, 8)
            )
    return blocks


def _square(plane: bytes, width: int, left: int, top: int, side: int) -> bytes:
    starts = range(top * width + left, (top + side) * width + left, width)
    return b"".join([plane[start : start + side] for start in starts])


def _protected(payload: bytes) -> bytes:
    """`payload` with a 3 put in wherever it would read as a start code."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)
