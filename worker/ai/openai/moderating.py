"""Moderating: whether words and a picture may be worked on, by OpenAI's moderations or any server that has them."""

from __future__ import annotations

from typing import Self

from openai import OpenAI
from openai.types import ModerationMultiModalInputParam
from pydantic import BaseModel

from config import Settings
from worker.ai.moderation import Verdict, has_picture, words
from worker.ai.openai.errors import bad_answer, our_errors, told
from worker.ai.openai.provider import client_of
from worker.ai.openai.talking import as_url, plain
from worker.ai.provider import Call, Unavailable
from worker.ai.watching import watching


class _Result(BaseModel):
    flagged: bool
    categories: dict[str, bool | None] = {}


class _Moderation(BaseModel):
    """The part of an answer that we read."""

    results: list[_Result]


class OpenAIModerator:
    """Any number of threads may use one instance. Nothing is tried twice here, as with the provider."""

    def __init__(self, client: OpenAI, model: str, seconds: float) -> None:
        self._client = client
        self._model = model
        self._seconds = seconds

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(client_of(settings), settings.moderation_model, settings.moderation_timeout_seconds)

    def check(self, call: Call) -> Verdict:
        """Everything in one question. Fetching a picture has a time of its own, and the provider finds it fetched."""
        parts: list[ModerationMultiModalInputParam] = [{"type": "text", "text": plain(text)} for text in words(call)]
        if has_picture(call):
            parts.append({"type": "image_url", "image_url": {"url": as_url(call.picture())}})
        if not parts:
            return Verdict(flagged=False)
        with watching(call) as watch, watch.only(self._seconds), our_errors():
            response = self._client.moderations.with_raw_response.create(model=self._model, input=parts)
            answer = _Moderation.model_validate_json(response.http_response.content)
        if not answer.results:
            raise told(Unavailable("provider_error", bad_answer("it has no result").message))
        because = {name for result in answer.results for name, found in result.categories.items() if found}
        return Verdict(any(result.flagged for result in answer.results), tuple(sorted(because)))
