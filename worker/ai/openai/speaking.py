"""Speaking: a text as sound. A long one is spoken in parts, each within what one request may have.

The sound is WAV. Servers begin to send it before they know how long it becomes, so its header says that it is endless;
players then show no length, or a day. It gets a true one here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import get_args

from openai import OpenAI
from openai.types.audio import speech_create_params

from worker.ai.openai.errors import bad_answer, known_as, our_errors, told
from worker.ai.provider import Artefact, Call, Generation, Refused

MOST_CHARACTERS = 4_096
"""Of one request."""

VOICES: tuple[str, ...] = tuple(
    name for union in get_args(speech_create_params.Voice) for name in get_args(union) if isinstance(name, str)
)
"""OpenAI's own."""

ENDS = tuple(re.compile(rf"(?s).*(?:{end})") for end in (r"""[.!?…]['"”’)]*\s|[。！？]""", r"[,;:]\s|[\n、，]", r"\s"))
"""Where a text may be divided, best first: after a sentence, within one, between words."""

PCM, BITS = 1, 16


def speak(client: OpenAI, call: Call, model: str, *, voices: tuple[str, ...] | None) -> Generation:
    """Speak the text of the call; `voices` are all there are, if that is known."""
    text, voice = call.input["text"], call.input["voice"]
    if voices is not None and voice not in voices:
        raise Refused("provider_refused", f"There is no voice {voice}; expected one of {', '.join(voices)}.")
    sounds, name = [], None
    for part in parts(text):
        with our_errors():
            response = client.audio.speech.with_raw_response.create(
                model=model, voice=voice, input=part, response_format="wav"
            )
        sounds.append(read_wav(response.http_response.content))
        name = name or known_as(response.headers.get("x-request-id"))
    first = sounds[0]
    if any((sound.channels, sound.rate) != (first.channels, first.rate) for sound in sounds):
        raise told(bad_answer("its parts do not fit together"))
    whole = Sound(first.channels, first.rate, b"".join(sound.samples for sound in sounds))
    usage = {"characters": len(text), "seconds": ceil(whole.seconds)}
    return Generation((Artefact("audio/wav", whole.wav()),), usage, request_id=name)


def parts(text: str) -> Iterator[str]:
    """The text in pieces that one request may have, divided where a reader would take breath."""
    while len(text) > MOST_CHARACTERS:
        head = text[:MOST_CHARACTERS]
        size = next((found.end() for found in (end.match(head) for end in ENDS) if found), MOST_CHARACTERS)
        yield text[:size].strip()
        text = text[size:].lstrip()
    yield text


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of 16 bits, `rate` of each of its `channels` a second."""

    channels: int
    rate: int
    samples: bytes

    @property
    def seconds(self) -> float:
        return len(self.samples) / (self.channels * self.rate * BITS // 8)

    def wav(self) -> bytes:
        frame = self.channels * BITS // 8
        form = struct.pack("<IHHIIHH", 16, PCM, self.channels, self.rate, self.rate * frame, frame, BITS)
        header = b"RIFF%bWAVEfmt %bdata%b" % (
            struct.pack("<I", 36 + len(self.samples)), form, struct.pack("<I", len(self.samples)),
        )  # fmt: skip
        return header + self.samples


def read_wav(data: bytes) -> Sound:
    """The sound in a WAV file, however long its header says that it is. Raises `Refused`."""
    form: tuple[int, ...] = ()
    place = 12
    while data[:4] == b"RIFF" and data[8:12] == b"WAVE" and place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        place += 8
        if name == b"fmt " and place + 16 <= len(data):
            form = struct.unpack_from("<HHIIHH", data, place)
        if name == b"data":
            if form and form[0] == PCM and form[5] == BITS and 0 < form[1] <= 2 and form[2] > 0:
                frame = form[1] * BITS // 8
                length = min(size or len(data), len(data) - place)
                if samples := data[place : place + length // frame * frame]:
                    return Sound(form[1], form[2], samples)
            break
        place += size + size % 2
    raise told(bad_answer("it is no sound, or not WAV with samples of 16 bits"))
