"""Calls as the tests of predictions make them."""

from __future__ import annotations

from typing import Any

import pytest

from models.kinds import Kind, parse_input, parse_options
from tests.unit.fake_call import INPUTS, FakeCall
from tests.uploads.drawings import picture
from worker.ai.predictions import PredictionsProvider
from worker.ai.provider import Artefact, Generation, ProviderError
from worker.decoding import examine

ATTEMPTS = 3
LIMIT = 200_000
"""Bytes that one job may make here."""


def call_for(kind: Kind, *, model: str = "acme/any", options: dict[str, Any] | None = None, **about: Any) -> FakeCall:
    """A call with a picture if its kind begins with one."""
    values = parse_input(kind, INPUTS[kind]).stored()
    if said := parse_options(kind, options or {}):
        values["options"] = said
    if "image_url" in values:
        about.setdefault("upload", examine(picture()))
    return FakeCall(kind, values, model=model, **about)


def film(**about: Any) -> FakeCall:
    return call_for(Kind.video, model="acme/video-2", **about)


def file(made: Generation) -> Artefact:
    [output] = made.outputs
    assert isinstance(output, Artefact)
    return output


def failure(provider: PredictionsProvider, call: FakeCall) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        provider.generate(call)
    return caught.value
