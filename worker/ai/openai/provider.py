"""The provider: one client for all threads, and what it is used for."""

from __future__ import annotations

from typing import Self

from openai import OpenAI

from config import Settings
from config.basis import told
from config.openai import ChatApi
from models.kinds import Kind
from worker.ai.openai.analysing import analyse
from worker.ai.openai.drawing import draw, redraw
from worker.ai.openai.looking import look
from worker.ai.openai.speaking import VOICES, speak
from worker.ai.openai.talking import Talk, by_completions, by_responses
from worker.ai.provider import Call, Generation, Refused
from worker.ai.watching import watched_client, watching

OPENAIS_URL = "https://api.openai.com/v1"

NO_KEY = "none"
"""What a server that needs no key is sent as one: the client insists."""

TALKS: dict[ChatApi, Talk] = {ChatApi.responses: by_responses, ChatApi.completions: by_completions}


def client_of(settings: Settings) -> OpenAI:
    """A client by these settings, whose every use belongs within `watching`."""
    return OpenAI(
        api_key=told(settings.openai_api_key) or NO_KEY,
        base_url=settings.openai_base_url or OPENAIS_URL,
        max_retries=0,
        timeout=None,
        http_client=watched_client(),
    )


class OpenAIProvider:
    """Any number of threads may use one instance. Nothing is tried twice here: an attempt that fails in passing is
    for the job to repeat."""

    def __init__(self, client: OpenAI, talk: Talk, voices: tuple[str, ...] | None) -> None:
        self._client = client
        self._talk = talk
        self._voices = voices

    @classmethod
    def of(cls, settings: Settings) -> Self:
        voices = None if settings.openai_base_url else VOICES
        return cls(client_of(settings), TALKS[settings.openai_chat_api], voices)

    def generate(self, call: Call) -> Generation:
        """Do what `call` asks for. Fetching a picture has a time of its own, before `call.timeout` begins."""
        client, model = self._client, call.model
        picture = call.picture() if call.kind in (Kind.vision, Kind.image_edit) else None
        with watching(call) as watch:
            if call.kind == Kind.chat:
                return analyse(client, self._talk, call, model, watch)
            if call.kind == Kind.vision and picture:
                return look(client, self._talk, call, picture, model, watch)
            if call.kind == Kind.image:
                return draw(client, call, model)
            if call.kind == Kind.image_edit and picture:
                return redraw(client, call, picture, model)
            if call.kind == Kind.speech:
                return speak(client, call, model, voices=self._voices)
        raise Refused("provider_refused", f"The OpenAI provider does not do {call.kind}.")
