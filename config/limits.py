"""Settings of how work is shared out: among users, and among the workers that ask one provider."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.ai import AiSettings


class LimitSettings(AiSettings):
    """`fair_share` is how many unfinished jobs of one user are called at a time; the others wait in line."""

    fair_share: Annotated[int, Field(ge=1)] | None = None

    @property
    def called_at_once(self) -> int:
        """`fair_share`, or else half of what one worker process runs: a user who is alone has many at once, and there
        is room for the next."""
        return self.fair_share or max(self.generation_concurrency // 2, 1)
