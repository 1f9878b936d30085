"""Talking: words, and a picture among them, for words; by the Responses API or by chat completions.

Answers are streamed, so that leaving one ends the work at the other end too. Nothing is stored there (`store=False`).
What comes is read by shapes of our own: the client believes whatever it is sent.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam, ResponseTextConfigParam
from pydantic import BaseModel

from models.pictures import Picture
from worker.ai.openai.errors import bad_answer, cut_off, filtered, known_as, of_code, our_errors, told
from worker.ai.provider import ProviderError
from worker.ai.watching import DRAIN_SECONDS, Watch

MOST_TOKENS = 16_384
"""Of one answer, what the model thinks to itself included. Ours take a few hundred."""

Usage = dict[str, int]


@dataclass(frozen=True, slots=True)
class Said:
    """Something said in a conversation."""

    role: Literal["user", "assistant"]
    text: str
    picture: Picture | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model. The answer follows `schema`, a JSON schema, if there is one."""

    model: str
    instructions: str
    talk: Sequence[Said]
    schema: Mapping[str, Any] | None = None

    def further(self, *said: Said) -> Asked:
        return Asked(self.model, self.instructions, (*self.talk, *said), self.schema)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    usage: Usage
    request_id: str | None


Talk = Callable[[OpenAI, Asked, Watch], Answer]
"""Ask, and give the whole answer. Raises `ProviderError`, and `Canceled`."""


def plain(text: str) -> str:
    """The text without what JSON may hold and neither UTF-8 nor PostgreSQL does: halves of surrogate pairs, and NUL."""
    return text.encode(errors="replace").decode().replace("\x00", "")


def as_url(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"


class _Details(BaseModel):
    cached_tokens: int | None = 0


class _Usage(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None

    def ours(self) -> Usage:
        cached = self.input_tokens_details.cached_tokens if self.input_tokens_details else None
        return {
            "input_tokens": self.input_tokens,
            **({"cached_input_tokens": cached} if cached else {}),
            "output_tokens": self.output_tokens,
        }


class _Part(BaseModel):
    type: str
    text: str | None = None


class _Item(BaseModel):
    type: str
    content: list[_Part] | None = None


class _Error(BaseModel):
    code: str | None = None


class _Why(BaseModel):
    reason: str | None = None


class _Response(BaseModel):
    """The part of a finished response that we read."""

    id: str | None = None
    status: str
    output: list[_Item] = []
    usage: _Usage | None = None
    error: _Error | None = None
    incomplete_details: _Why | None = None

    @property
    def parts(self) -> list[_Part]:
        return [part for item in self.output if item.type == "message" for part in item.content or ()]

    def fault(self, usage: Usage) -> ProviderError | None:
        if self.status == "incomplete":
            why = self.incomplete_details.reason if self.incomplete_details else None
            return filtered(usage) if why == "content_filter" else _too_long(usage)
        if self.status != "completed":
            return of_code(self.error.code if self.error else None)
        return filtered(usage) if any(part.type == "refusal" for part in self.parts) else None


FINISHED = frozenset(("response.completed", "response.incomplete", "response.failed"))


def by_responses(client: OpenAI, asked: Asked, watch: Watch) -> Answer:
    form: ResponseTextConfigParam | openai.Omit = openai.omit
    if asked.schema is not None:
        form = {"format": {"type": "json_schema", "name": "answer", "schema": dict(asked.schema), "strict": True}}
    with (
        our_errors(),
        client.responses.create(
            model=asked.model,
            instructions=asked.instructions,
            input=[_item(said) for said in asked.talk],
            text=form,
            max_output_tokens=MOST_TOKENS,
            store=False,
            stream=True,
        ) as stream,
    ):
        for event in stream:
            heard = _raw(event)
            kind = str(heard.get("type"))
            if kind == "error":
                raise told(of_code(_Error.model_validate(heard).code))
            if kind in FINISHED:
                response = _Response.model_validate(heard.get("response"))
                _to_the_end(stream, watch)
                break
        else:
            raise told(cut_off())
    usage = response.usage.ours() if response.usage else {}
    if fault := response.fault(usage):
        raise told(fault, request_id=known_as(response.id))
    text = "".join(part.text or "" for part in response.parts if part.type == "output_text")
    return Answer(plain(text), usage, known_as(stream.response.headers.get("x-request-id"), response.id))


def _item(said: Said) -> ResponseInputItemParam:
    if said.role == "assistant" or said.picture is None:
        return {"role": said.role, "content": said.text}
    return {
        "role": "user",
        "content": [
            {"type": "input_text", "text": said.text},
            {"type": "input_image", "image_url": as_url(said.picture), "detail": "auto"},
        ],
    }


class _Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _CompletionUsage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None

    def ours(self) -> Usage:
        return _Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            input_tokens_details=self.prompt_tokens_details,
        ).ours()


class _Chunk(BaseModel):
    id: str | None = None
    choices: list[_Choice] = []
    usage: _CompletionUsage | None = None


def by_completions(client: OpenAI, asked: Asked, watch: Watch) -> Answer:
    more: dict[str, Any] = {}
    if asked.schema is not None:
        schema = {"name": "answer", "schema": dict(asked.schema), "strict": True}
        more["response_format"] = {"type": "json_schema", "json_schema": schema}
    words, usage, why, name = [], Usage(), None, None
    with (
        our_errors(),
        client.chat.completions.create(
            model=asked.model,
            messages=[{"role": "system", "content": asked.instructions}, *map(_message, asked.talk)],
            max_completion_tokens=MOST_TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            **more,
        ) as stream,
    ):
        for chunk in map(_Chunk.model_validate, map(_raw, stream)):
            name = name or chunk.id
            usage = chunk.usage.ours() if chunk.usage else usage
            for choice in chunk.choices[:1]:
                why = choice.finish_reason or why
                words.append((choice.delta and choice.delta.content) or "")
                if choice.delta and choice.delta.refusal:
                    why = "content_filter"
    if why is None:
        raise told(cut_off())
    if why in ("content_filter", "length"):
        raise told(filtered(usage) if why == "content_filter" else _too_long(usage), request_id=known_as(name))
    return Answer(plain("".join(words)), usage, known_as(stream.response.headers.get("x-request-id"), name))


def _message(said: Said) -> ChatCompletionMessageParam:
    if said.role == "assistant":
        return {"role": "assistant", "content": said.text}
    if said.picture is None:
        return {"role": "user", "content": said.text}
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": said.text},
            {"type": "image_url", "image_url": {"url": as_url(said.picture)}},
        ],
    }


def _raw(event: object) -> dict[str, Any]:
    """What an event said, as it was said."""
    return event.to_dict(warnings=False) if isinstance(event, openai.BaseModel) else {}


def _to_the_end(stream: Iterator[object], watch: Watch) -> None:
    """Read what is left of a stream that has said all, if it ends soon: its connection can be used again then."""
    with suppress(openai.OpenAIError, ProviderError, ValueError, TimeoutError), watch.only(DRAIN_SECONDS):
        for _ in stream:
            pass


def _too_long(usage: Usage) -> ProviderError:
    return bad_answer("it became too long and was cut off", usage)
