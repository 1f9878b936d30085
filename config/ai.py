"""Settings of generation: which provider does which kind, and how patient we are with it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from config.basis import Basis, Seconds

WISH = re.compile(r"(?P<kind>[a-z_]+)=(?P<provider>[a-z0-9_]+)(?::(?P<model>[^\s,=]+))?")


class AiMode(StrEnum):
    mock = "mock"
    openai = "openai"


class AiSettings(Basis):
    """`ai_mode` is the provider of every kind that `ai_providers` does not give to another."""

    ai_mode: AiMode = AiMode.mock
    ai_providers: str = ""

    generation_concurrency: Annotated[int, Field(ge=1, le=5000)] = 200

    # The chain of patience: heartbeat < lease, and provider < run limit < visibility (see docs/adr/0004)
    heartbeat_seconds: Seconds = 10
    lease_seconds: Seconds = 30
    rescue_seconds: Seconds = 5
    provider_timeout_seconds: Seconds = 120
    run_limit_seconds: Seconds = 180
    visibility_timeout_seconds: Annotated[int, Field(ge=10)] = 3600
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    retry_base_seconds: Seconds = 2

    # The mock provider
    mock_latency_seconds: Annotated[float, Field(ge=0)] = 0.2

    @field_validator("ai_providers")
    @classmethod
    def _readable_wishes(cls, value: str) -> str:
        kinds = []
        for wish in filter(None, map(str.strip, value.split(","))):
            read = WISH.fullmatch(wish)
            if read is None:
                raise ValueError(
                    f"expected kind=provider or kind=provider:model, separated by commas, such as "
                    f"video=predictions:acme/video-2,upscale=none; {wish!r} is neither"
                )
            kinds.append(read["kind"])
        if twice := {kind for kind in kinds if kinds.count(kind) > 1}:
            raise ValueError(f"expected one provider for each kind; {', '.join(sorted(twice))} has two")
        return value

    @model_validator(mode="after")
    def _patience_is_ordered(self) -> Self:
        chain = [
            ("heartbeat_seconds", "lease_seconds"),
            ("provider_timeout_seconds", "run_limit_seconds"),
            ("lease_seconds", "run_limit_seconds"),
            ("run_limit_seconds", "visibility_timeout_seconds"),
        ]
        for shorter, longer in chain:
            if not getattr(self, shorter) < getattr(self, longer):
                limit = f"{longer.upper()} ({getattr(self, longer):g} s)"
                raise ValueError(f"{shorter.upper()}: expected less than {limit}")
        return self

    @property
    def wishes(self) -> dict[str, tuple[str, str]]:
        """`ai_providers`, read: for each kind the provider, and the model or nothing."""
        read = (WISH.fullmatch(wish.strip()) for wish in self.ai_providers.split(","))
        return {each["kind"]: (each["provider"], each["model"] or "") for each in read if each}
