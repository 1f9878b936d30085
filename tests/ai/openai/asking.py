"""Calls and providers as the tests of OpenAI make them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from config import Settings
from models.kinds import Kind, parse_input, parse_options
from models.pictures import Picture
from tests.unit.fake_call import INPUTS, FakeCall
from worker.ai.openai.provider import OpenAIProvider
from worker.ai.provider import Artefact, Generation, ProviderError
from worker.backends import BACKENDS

KEY = "sk-do-not-print-0123456789"
MODELS = BACKENDS["openai"].models


def chosen(**values: Any) -> Settings:
    secret = SecretStr("s" * 48)
    return Settings(secret_key=secret, jwt_secret_key=secret, **values)


def provider(base_url: str, **values: Any) -> OpenAIProvider:
    return OpenAIProvider.of(chosen(openai_base_url=base_url, openai_api_key=SecretStr(KEY), **values))


def call_for(
    kind: Kind = Kind.chat, *, options: dict[str, Any] | None = None, given: dict[str, Any] | None = None, **about: Any
) -> FakeCall:
    """A call as a job makes it: `given` is other than usual in its input, `options` are those of its action."""
    values = parse_input(kind, {**INPUTS[kind], **(given or {})}).stored()
    if kind == Kind.chat or options:
        values["options"] = parse_options(kind, options or {})
    return FakeCall(kind, values, **{"model": MODELS.get(kind) or "any", "timeout": 20.0, **about})


def with_picture(kind: Kind, picture: Picture, **about: Any) -> FakeCall:
    return call_for(kind, upload=picture, **about)


def failure(of: OpenAIProvider, call: FakeCall) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        of.generate(call)
    return caught.value


def file(made: Generation) -> Artefact:
    [output] = made.outputs
    assert isinstance(output, Artefact)
    return output
