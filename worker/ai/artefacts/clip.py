"""MP4 clips that browsers and players play: a camera that wanders over soft colours.

The picture is H.264 (`h264.py`); this module paints it, steers the camera and puts the frames in an MP4 file
(ISO/IEC 14496-12 and -15) whose index comes first, so that a browser starts before it has the whole file.
"""

from __future__ import annotations

import struct
from math import cos, tau

from worker.ai.artefacts import h264
from worker.ai.artefacts.picture import wave

WIDTH, HEIGHT = 160, 90
"""What is seen, in pixels."""

CODED_WIDTH, CODED_HEIGHT = 192, 128
"""What is coded: whole macroblocks, with room to the right and below for the camera to wander into."""

WANDER = (CODED_WIDTH - WIDTH - h264.INTERPOLATION) * 4, (CODED_HEIGHT - HEIGHT - h264.INTERPOLATION) * 4
"""How far the camera goes right and down, in quarter pixels."""

FRAMES_PER_SECOND = 25
LONGEST = 5
"""Seconds."""

TICKS_PER_FRAME = 512
TIMESCALE = TICKS_PER_FRAME * FRAMES_PER_SECOND
"""Ticks per second."""

MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
"""Neither turned nor scaled, as 16.16 and 2.30 fixed-point numbers."""

UNDETERMINED = 0x55C4
"""The language `und`, as three five-bit letters."""


def mp4_clip(seed: bytes, seconds: int) -> bytes:
    """A silent clip of `seconds`, from 1 to `LONGEST`."""
    count = min(max(seconds, 1), LONGEST) * FRAMES_PER_SECOND
    return _mp4(_frames(seed, count))


def _frames(seed: bytes, count: int) -> list[bytes]:
    """The clip's NAL units, one per frame. The camera goes and comes back, so the clip ends where it began."""
    blocks = (CODED_WIDTH // h264.MACROBLOCK) * (CODED_HEIGHT // h264.MACROBLOCK)
    frames = [h264.first_frame(_paint(seed))]
    for number in range(1, count):
        turn = tau * number / count
        x, y = round(WANDER[0] * (1 - cos(turn)) / 2), round(WANDER[1] * (1 - cos(2.0 * turn)) / 2)
        frames.append(h264.moved_frame(number, blocks, x, y))
    return frames


def _paint(seed: bytes) -> h264.Planes:
    half = (CODED_WIDTH // 2, CODED_HEIGHT // 2)
    return h264.Planes(
        width=CODED_WIDTH,
        height=CODED_HEIGHT,
        luma=_plane(seed[0:4], CODED_WIDTH, CODED_HEIGHT, middle=140, reach=42, laps=2),
        blue=_plane(seed[4:8], *half, middle=128, reach=24, laps=1),
        red=_plane(seed[8:12], *half, middle=128, reach=24, laps=1),
    )


def _plane(seed: bytes, width: int, height: int, *, middle: int, reach: int, laps: int) -> bytes:
    """Samples within twice `reach` of `middle`, the sum of a wave across and a wave down."""
    across = wave(width, laps=laps + seed[0] % 2, reach=reach, start=seed[1] / 256)
    down = wave(height, laps=laps + seed[2] % 2, reach=reach, start=seed[3] / 256)
    return b"".join([bytes([middle + above + value for value in across]) for above in down])


def _mp4(frames: list[bytes]) -> bytes:
    samples = [struct.pack(">I", len(frame)) + frame for frame in frames]
    sizes = [len(sample) for sample in samples]
    file_type = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    # The index names the place of the samples, which follow it; its own length does not depend on that place.
    samples_at = len(file_type) + len(_index(sizes, 0)) + 8
    return b"".join((file_type, _index(sizes, samples_at), _box(b"mdat", *samples)))


def _index(sizes: list[int], samples_at: int) -> bytes:
    """The `moov` box: one video track whose samples, of these `sizes` in bytes, lie one after another."""
    ticks = len(sizes) * TICKS_PER_FRAME
    movie = struct.pack(">IIIIIH10x", 0, 0, TIMESCALE, ticks, 0x10000, 0x100) + MATRIX + struct.pack(">24xI", 2)
    track = struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, ticks, 0, 0, 0, 0) + MATRIX
    media = _box(
        b"mdia",
        _full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, TIMESCALE, ticks, UNDETERMINED, 0)),
        _full_box(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"VideoHandler\0"),
        _box(
            b"minf",
            _full_box(b"vmhd", bytes(8), flags=1),
            _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1))),
            _box(b"stbl", *_sample_tables(sizes, samples_at)),
        ),
    )
    return _box(
        b"moov",
        _full_box(b"mvhd", movie),
        _box(b"trak", _full_box(b"tkhd", track, struct.pack(">II", WIDTH << 16, HEIGHT << 16), flags=3), media),
    )


def _sample_tables(sizes: list[int], samples_at: int) -> tuple[bytes, ...]:
    """What the samples are, how long each lasts, which can start, and where they lie."""
    count = len(sizes)
    return (
        _full_box(b"stsd", struct.pack(">I", 1), _description()),
        _full_box(b"stts", struct.pack(">III", 1, count, TICKS_PER_FRAME)),
        _full_box(b"stss", struct.pack(">II", 1, 1)),
        _full_box(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
        _full_box(b"stsz", struct.pack(f">II{count}I", 0, count, *sizes)),
        _full_box(b"stco", struct.pack(">II", 1, samples_at)),
    )


def _description() -> bytes:
    """The `avc1` box: size, 72 dots per inch, 24 bits of colour, and the decoder's parameter sets."""
    sequence = h264.sequence_parameters(CODED_WIDTH, CODED_HEIGHT, WIDTH, HEIGHT)
    picture = h264.picture_parameters()
    configuration = _box(
        b"avcC",
        bytes((1, h264.PROFILE_BASELINE, h264.COMPATIBILITY, h264.LEVEL_3, 0xFF, 0xE1)),
        struct.pack(">H", len(sequence)) + sequence,
        struct.pack(">BH", 1, len(picture)) + picture,
    )
    resolution = 72 << 16
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, WIDTH, HEIGHT, resolution, resolution, 1, 24, -1)
    return _box(b"avc1", entry, configuration)


def _box(name: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, parts))) + name + b"".join(parts)


def _full_box(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    """A box with a version, here 0, and flags."""
    return _box(name, struct.pack(">I", flags), *parts)
