"""Settings of the OpenAI backend, which any server that speaks OpenAI's protocol can be."""

from __future__ import annotations

from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator

from config.ai import AiMode, AiSettings
from config.basis import has_good_port, told
from strictness import in_a_private_network

OPENAI = "openai"
"""The name of the backend in `AI_PROVIDERS`."""


class ChatApi(StrEnum):
    """How words are asked for: OpenAI's Responses, or the older chat completions that more servers speak."""

    responses = "responses"
    completions = "completions"


class OpenAISettings(AiSettings):
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_chat_api: ChatApi = ChatApi.responses

    @field_validator("openai_base_url")
    @classmethod
    def _openai_key_goes_in_secret(cls, value: str | None) -> str | None:
        if not value:
            return value
        url = urlsplit(value)
        secret = url.scheme == "https" or (url.scheme == "http" and in_a_private_network(url.hostname or ""))
        if not (secret and url.hostname and has_good_port(url) and not (url.query or url.fragment or url.username)):
            raise ValueError(
                "expected https://host/v1, or http:// to this machine or inside a private network "
                "(http://ollama:11434/v1): the key and what users write go there"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _openai_has_its_key(self) -> Self:
        asked = self.ai_mode is AiMode.openai or any(provider == OPENAI for provider, _ in self.wishes.values())
        own = in_a_private_network(urlsplit(self.openai_base_url or "").hostname or "")
        if asked and not own and not told(self.openai_api_key):
            raise ValueError(
                "OPENAI_API_KEY: required when openai does something (AI_MODE, AI_PROVIDERS), "
                "unless OPENAI_BASE_URL is a server on this machine or inside a private network"
            )
        return self
