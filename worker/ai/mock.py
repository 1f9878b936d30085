"""The mock provider: every kind, with no key and no network.

What it makes follows from the kind and the input alone, to the byte; of an upload, from the picture and not from its
id. It fetches nothing: what is at an address it only pretends to have seen. In development the input can also script
the outcome (`mock_script.py`), so that every way a backend can behave is one request away.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import ceil
from threading import Lock
from typing import Any, Self

from config import Settings
from models.kinds import Kind
from models.pictures import Picture
from worker.ai.artefacts import mp4_clip, png_picture, speech_seconds, wav_speech
from worker.ai.mock_script import PLAIN, read_script
from worker.ai.provider import Analysis, Artefact, Call, Generation, Output, Refused, Text, Unavailable

Made = tuple[Output, dict[str, int]]
"""An output and its usage."""

RESUMABLE = frozenset({Kind.video, Kind.lipsync})
"""Kinds slow enough that a later attempt should find the work already begun. For the quick ones, storing the request's
id would cost more than asking again."""

PNG, WAV, MP4 = "image/png", "audio/wav", "video/mp4"

EDITED = 512
"""Pixels on a side of an edited picture that was not seen."""

UPSCALED = 128
"""Pixels on a side of the picture that is taken to lie behind an upscaled one that was not seen."""

MOST_PIXELS = 200_000_000
"""Of what is made: so many take a second."""

DEPTH, SUGGESTED = "short", 3
"""How deep an analysis goes and how many replies it suggests, unless the action says."""

CHARACTERS_PER_TOKEN = 4
"""Roughly, in English."""

PICTURE_TOKENS = 765
"""Input tokens of one picture of ordinary size."""

TONES = ("warm", "playful", "careful", "a little impatient", "curious", "matter-of-fact", "hopeful", "reserved")
AIMS = (
    "asks for a clear answer",
    "leaves the next step to you",
    "is looking for reassurance",
    "wants to settle a date",
    "invites a longer conversation",
)
ADVICE = (
    "a short and friendly reply will do best",
    "one open question keeps it going",
    "name a time and a place",
    "answer the question first, then add a thought of your own",
    "thank them and say what happens next",
)
REPLIES = (
    ("That sounds good to me!", "Yes, I would like that.", "Count me in.", "Great idea, let's do it."),
    ("What did you have in mind?", "Tell me more about it?", "When would suit you?", "How did you think of it?"),
    (
        "Let me sleep on it and tell you tomorrow.",
        "Can I get back to you tonight?",
        "Not this week, but soon.",
        "I need a moment to think about that.",
    ),
)
OPENINGS = (
    "What stands out is what is left unsaid: there is room for you to say more than was asked.",
    "The wording is plain, and nothing in it needs to be read twice.",
    "A friendly beginning carries the whole message, so answer that first.",
    "It was written in one go, by somebody who would like to hear from you soon.",
)
TURNS = (
    "Behind the question is a wish to know where the two of you stand.",
    "The details matter less here than that you answer at all.",
    "Between the lines there is some doubt, which a clear word from you would take away.",
    "There is more interest in it than the few words let on.",
)
OUTLOOKS = (
    "If you wait too long, it may be taken for a no.",
    "Whatever you choose, keep it about as long as what you were sent.",
    "There is no hurry; an answer by tomorrow is soon enough.",
    "A yes or a no would both be welcome, and silence would not.",
)
SUBJECTS = ("a lighthouse", "two people at a table", "a street after rain", "a sleeping cat", "a mountain lake")
MOODS = ("calm", "cheerful", "dreamy", "solemn", "homely")
LIGHTS = ("soft morning light", "the light of a lamp", "bright noon", "the last sun of the day")

_drawing = Lock()
"""Held while a file is made. Many at once would be no faster, since the work is all computing, and each would hold
memory: a thousand pictures together take a gigabyte."""


class MockProvider:
    """Answers after `latency` seconds. With `scripts`, markers in the input choose the outcome.

    Calls share nothing that changes, so any number of threads may use one instance.
    """

    def __init__(self, latency: float, scripts: bool) -> None:
        self.latency = latency
        self.scripts = scripts

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.mock_latency_seconds, scripts=settings.in_development)

    def generate(self, call: Call) -> Generation:
        """Make what `call` asks for, or fail as its script says."""
        make = MAKERS.get(call.kind)
        if make is None:
            raise Refused("provider_refused", f"The mock provider does not do {call.kind}.")
        script = read_script(call.input) if self.scripts else PLAIN
        latency = self.latency if script.answer_after is None else script.answer_after

        if (error := script.error(call.attempt)) is not None:
            _wait(call, latency)
            raise error

        request_id = call.request_id
        if request_id is None:
            request_id = f"mock_{call.job_id.hex}"
            if call.kind in RESUMABLE:
                call.began(request_id)
        if script.crashes(call.attempt):
            os.kill(os.getpid(), signal.SIGKILL)
        if script.ignores_timeout:
            call.pause(10 * call.timeout)
        else:
            _wait(call, latency)

        picture = call.picture() if "upload" in call.input else None
        output, usage = make(call.input, _seed(call.kind, call.input, picture), picture)
        if "seconds" in usage:
            usage["seconds"] = ceil(usage["seconds"] * script.delivered_percent / 100)
        return Generation((output,), usage, script.delivered_percent, request_id)


def _wait(call: Call, seconds: float) -> None:
    """Wait as a real request does: for the answer, or until the call's time is up."""
    if seconds > call.timeout:
        call.pause(call.timeout)
        raise Unavailable("provider_timeout", "The provider did not answer in time.")
    if seconds > 0:
        call.pause(seconds)


_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


def _seed(kind: str, values: Mapping[str, Any], picture: Picture | None) -> bytes:
    """32 bytes that follow from the kind and what the caller gave, the same in every process.

    The action's options leave them as they are: the same words, looked at longer, come to the same and more.
    """
    given = {name: value for name, value in values.items() if name != "options"}
    if picture is not None:
        given["upload"] = picture.sha256
    # JSON may hold half a surrogate pair, which is no character and which plain UTF-8 would refuse.
    return blake2b(f"{kind} {_canonical(given)}".encode(errors="surrogatepass"), digest_size=32).digest()


def _tokens(text: str) -> int:
    return ceil(len(text) / CHARACTERS_PER_TOKEN)


def _pick(choices: tuple[str, ...], number: int) -> str:
    return choices[number % len(choices)]


def _chat(values: Mapping[str, Any], seed: bytes, _: Picture | None) -> Made:
    options = values.get("options", {})
    tone, aim, advice = _pick(TONES, seed[0]), _pick(AIMS, seed[1]), _pick(ADVICE, seed[2])
    text = f"The tone is {tone} and the message {aim}; {advice}."
    if options.get("depth", DEPTH) == "long":
        more = (_pick(OPENINGS, seed[6]), _pick(TURNS, seed[7]), _pick(OUTLOOKS, seed[8]))
        text = " ".join((text, *more))
    replies = _replies(seed, options.get("replies", SUGGESTED))
    written = _tokens(text) + sum(map(_tokens, replies))
    analysis = Analysis(text, tone, aim, advice, replies)
    return analysis, {"input_tokens": _tokens(values["prompt"]), "output_tokens": written}


def _replies(seed: bytes, count: int) -> tuple[str, ...]:
    """So many different replies: by turns a yes, a question, and not yet."""
    groups = len(REPLIES)
    return tuple(_pick(REPLIES[n % groups], seed[3 + n % groups] + n // groups) for n in range(count))


def _vision(values: Mapping[str, Any], seed: bytes, picture: Picture | None) -> Made:
    subject, light, mood = _pick(SUBJECTS, seed[0]), _pick(LIGHTS, seed[1]), _pick(MOODS, seed[2])
    text = f"The picture shows {subject} in {light}; the mood is {mood}."
    if picture is not None:
        text += f" It is {picture.width} pixels wide and {picture.height} high."
    return Text(text), {"input_tokens": _tokens(values["prompt"]) + PICTURE_TOKENS, "output_tokens": _tokens(text)}


def _image(values: Mapping[str, Any], seed: bytes, _: Picture | None) -> Made:
    width, height = map(int, values["size"].split("x"))
    return _picture(seed, width, height)


def _image_edit(values: Mapping[str, Any], seed: bytes, picture: Picture | None) -> Made:
    if picture is None:
        return _picture(seed, EDITED, EDITED)
    return _picture(seed, picture.width, picture.height)


def _upscale(values: Mapping[str, Any], seed: bytes, picture: Picture | None) -> Made:
    width, height = (UPSCALED, UPSCALED) if picture is None else (picture.width, picture.height)
    return _picture(seed, width * int(values["scale"]), height * int(values["scale"]))


def _picture(seed: bytes, width: int, height: int) -> Made:
    if width * height > MOST_PIXELS:
        raise Refused("image_refused", f"A picture of {width} × {height} pixels is too large for the mock provider.")
    with _drawing:
        return Artefact(PNG, png_picture(seed, width, height)), {"images": 1}


def _speech(values: Mapping[str, Any], seed: bytes, _: Picture | None) -> Made:
    text = values["text"]
    with _drawing:
        data = wav_speech(seed, text)
    return Artefact(WAV, data), {"characters": len(text), "seconds": ceil(speech_seconds(text))}


def _video(values: Mapping[str, Any], seed: bytes, _: Picture | None) -> Made:
    # The clip is a sample and stays short; the usage is that of the order.
    return _clip(seed, values["seconds"])


def _lipsync(values: Mapping[str, Any], seed: bytes, _: Picture | None) -> Made:
    return _clip(seed, values["seconds"])


def _clip(seed: bytes, seconds: int) -> Made:
    with _drawing:
        return Artefact(MP4, mp4_clip(seed, seconds)), {"seconds": seconds}


MAKERS: dict[str, Callable[[Mapping[str, Any], bytes, Picture | None], Made]] = {
    Kind.chat: _chat,
    Kind.vision: _vision,
    Kind.image: _image,
    Kind.image_edit: _image_edit,
    Kind.upscale: _upscale,
    Kind.video: _video,
    Kind.speech: _speech,
    Kind.lipsync: _lipsync,
}
