"""WAV sound that has the rhythm of speech: short hummed syllables, with a rest after every few."""

from __future__ import annotations

import struct
from functools import cache
from math import pi, sin, tau

RATE = 8_000
"""Samples per second; mono, 16 bits each."""

CHARACTERS_PER_SECOND = 15
SHORTEST, LONGEST = 1.0, 30.0
"""Seconds."""

SYLLABLE = 0.16
"""Seconds per syllable or rest."""

PITCHES = (110, 123, 139, 147, 165, 185, 208, 220)
"""Hertz: a scale in the range of a voice, so that any order of them sounds well."""


def speech_seconds(text: str) -> float:
    """How long `text` takes to say, in seconds; never under `SHORTEST` nor over `LONGEST`."""
    return min(max(len(text) / CHARACTERS_PER_SECOND, SHORTEST), LONGEST)


def wav_speech(seed: bytes, text: str) -> bytes:
    """`text` hummed for `speech_seconds(text)`; the seed chooses the melody."""
    size = round(speech_seconds(text) * RATE) * 2
    syllable_size = round(SYLLABLE * RATE) * 2
    rest = bytes(syllable_size)
    sounds = []
    for place in range(size // syllable_size):
        note = seed[place % len(seed)]
        sounds.append(rest if place % 5 == 4 else _syllable(PITCHES[note % len(PITCHES)]))
    header = b"RIFF%bWAVEfmt %bdata%b" % (
        struct.pack("<I", 36 + size),
        struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16),
        struct.pack("<I", size),
    )
    return b"".join((header, *sounds, bytes(size % syllable_size)))


@cache
def _syllable(pitch: int) -> bytes:
    """One syllable at `pitch` hertz: a tone and two overtones that swell and fade, so that no joint clicks."""
    length = round(SYLLABLE * RATE)
    samples = []
    for i in range(length):
        turn = tau * pitch * i / RATE
        tone = 0.6 * sin(turn) + 0.25 * sin(2.0 * turn) + 0.15 * sin(3.0 * turn)
        samples.append(round(12_000 * tone * sin(pi * i / length)))
    return struct.pack(f"<{length}h", *samples)
