"""Settings of how work is shared out: among users, and among the workers that ask one provider."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.ai import AiSettings
from config.basis import Seconds


class LimitSettings(AiSettings):
    """`fair_share` is how many unfinished jobs of one user are called at a time; the others wait in line."""

    fair_share: Annotated[int, Field(ge=1)] | None = None

    # When a provider is down: after so many failures in a row it is left alone for a pause that doubles each time
    provider_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    provider_pause_seconds: Seconds = 10
    provider_longest_pause_seconds: Seconds = 300
    provider_patience_seconds: Seconds = 24 * 3600

    @model_validator(mode="after")
    def _pauses_are_ordered(self) -> Self:
        if self.provider_longest_pause_seconds < self.provider_pause_seconds:
            first = f"PROVIDER_PAUSE_SECONDS ({self.provider_pause_seconds:g} s)"
            raise ValueError(f"PROVIDER_LONGEST_PAUSE_SECONDS: expected at least {first}")
        return self

    @property
    def called_at_once(self) -> int:
        """`fair_share`, or else half of what one worker process runs: a user who is alone has many at once, and there
        is room for the next."""
        return self.fair_share or max(self.generation_concurrency // 2, 1)
