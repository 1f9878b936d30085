"""Settings of moderation: who looks at what users order before it is made, if anybody does."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from config.basis import Seconds, told
from config.openai import OpenAISettings
from strictness import in_a_private_network


class ModerationMode(StrEnum):
    none = "none"
    mock = "mock"
    openai = "openai"


class ModerationSettings(OpenAISettings):
    """`openai` asks where the provider of that name is asked (`OPENAI_BASE_URL`), with the same key."""

    moderation: ModerationMode = ModerationMode.none
    moderation_model: Annotated[str, Field(min_length=1, max_length=200)] = "omni-moderation-latest"
    moderation_timeout_seconds: Seconds = 10

    @model_validator(mode="after")
    def _moderation_has_its_key(self) -> Self:
        own = in_a_private_network(urlsplit(self.openai_base_url or "").hostname or "")
        if self.moderation is ModerationMode.openai and not own and not told(self.openai_api_key):
            raise ValueError("OPENAI_API_KEY: required with MODERATION=openai")
        return self

    @model_validator(mode="after")
    def _moderation_has_its_time(self) -> Self:
        together = self.moderation_timeout_seconds + self.provider_timeout_seconds
        if self.moderation is not ModerationMode.none and together >= self.run_limit_seconds:
            raise ValueError(
                f"MODERATION_TIMEOUT_SECONDS: expected less than RUN_LIMIT_SECONDS ({self.run_limit_seconds:g} s) "
                f"together with PROVIDER_TIMEOUT_SECONDS ({self.provider_timeout_seconds:g} s)"
            )
        return self
