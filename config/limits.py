"""Settings of how work is shared out: among users, and among the workers that ask one provider."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from limits import parse
from pydantic import Field, field_validator, model_validator

from config.ai import AiSettings
from config.basis import Seconds


class AiFallback(StrEnum):
    none = "none"
    mock = "mock"


NAMED = re.compile(r"(?P<provider>[a-z0-9_]+)=(?P<limit>[^,=]+)")


class LimitSettings(AiSettings):
    """`fair_share` is how many unfinished jobs of one user are called at a time; the others wait in line."""

    fair_share: Annotated[int, Field(ge=1)] | None = None

    # When a provider is down: after so many failures in a row it is left alone for a pause that doubles each time
    provider_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    provider_pause_seconds: Seconds = 10
    provider_longest_pause_seconds: Seconds = 300
    provider_patience_seconds: Seconds = 24 * 3600

    # Who makes what a provider could not
    ai_fallback: AiFallback = AiFallback.none

    # For each provider, of all workers together
    provider_concurrency: str = ""
    provider_rates: str = ""

    @field_validator("provider_concurrency")
    @classmethod
    def _readable_numbers(cls, value: str) -> str:
        for provider, limit in _named(value, "openai=50,predictions=5"):
            if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit) <= 1_000_000:
                raise ValueError(f"expected provider=number, such as openai=50; {provider} has {limit!r}")
        return value

    @field_validator("provider_rates")
    @classmethod
    def _readable_rates(cls, value: str) -> str:
        for provider, limit in _named(value, "openai=500 per minute"):
            try:
                parse(limit)
            except ValueError:
                raise ValueError(f"expected a rate such as 500 per minute; {provider} has {limit!r}") from None
        return value

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

    @property
    def places_at(self) -> dict[str, int]:
        """`provider_concurrency`, read: how many attempts each provider may have at once."""
        return {provider: int(limit) for provider, limit in _named(self.provider_concurrency)}

    @property
    def rates_of(self) -> dict[str, tuple[int, float]]:
        """`provider_rates`, read: for each provider how many attempts may begin in how many seconds."""
        read = {provider: parse(limit) for provider, limit in _named(self.provider_rates)}
        return {provider: (rate.amount, float(rate.get_expiry())) for provider, rate in read.items()}


def _named(value: str, example: str = "") -> list[tuple[str, str]]:
    found = []
    for part in filter(None, map(str.strip, value.split(","))):
        read = NAMED.fullmatch(part)
        if read is None:
            raise ValueError(f"expected provider=limit, separated by commas, such as {example}; {part!r} is not")
        found.append((read["provider"], read["limit"].strip()))
    names = [provider for provider, _ in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"expected one limit for each provider; {', '.join(sorted(twice))} has two")
    return found
