"""A call to a provider as the tests make it, with no job, no database and no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from models.kinds import Kind, parse_input
from models.pictures import Picture
from worker.ai.mock import MockProvider
from worker.ai.provider import Canceled, Generation, ProviderError

JOB = UUID("0190b6a0-0000-7000-8000-000000000001")
REQUEST = f"mock_{JOB.hex}"

PICTURE = "https://pictures.example/cat.png"
INPUTS: dict[Kind, dict[str, Any]] = {
    Kind.chat: {"prompt": "She wrote: shall we meet on Friday?"},
    Kind.vision: {"prompt": "What is in this picture?", "image_url": PICTURE},
    Kind.image: {"prompt": "a red fox", "size": "1024x1536"},
    Kind.image_edit: {"prompt": "make it night", "image_url": PICTURE},
    Kind.upscale: {"image_url": PICTURE, "scale": 4},
    Kind.video: {"prompt": "a red fox runs", "seconds": 3},
    Kind.speech: {"text": "Good morning. The train to the coast leaves at nine."},
    Kind.lipsync: {"image_url": PICTURE, "audio_url": "https://sounds.example/hello.wav"},
}


@dataclass
class FakeCall:
    """A call whose pauses take no time."""

    kind: str
    input: Mapping[str, Any]
    attempt: int = 1
    timeout: float = 120.0
    request_id: str | None = None
    job_id: UUID = JOB
    model: str = "mock"
    canceled: bool = False
    upload: Picture | None = None
    pauses: list[float] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def picture(self) -> Picture:
        assert self.upload is not None, "the mock fetches nothing"
        return self.upload

    def began(self, request_id: str) -> None:
        self.begun.append(request_id)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.canceled:
            raise Canceled


def call_for(kind: Kind, **about: Any) -> FakeCall:
    return FakeCall(kind, parse_input(kind, INPUTS[kind]).stored(), **about)


def scripted(marker: str, *, kind: Kind = Kind.chat, **about: Any) -> FakeCall:
    return FakeCall(kind, parse_input(kind, {**INPUTS[kind], "prompt": f"a red fox {marker}"}).stored(), **about)


def run(call: FakeCall, *, latency: float = 0.2, scripts: bool = True) -> Generation:
    return MockProvider(latency, scripts).generate(call)


def failure(call: FakeCall, **how: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        run(call, **how)
    return caught.value
