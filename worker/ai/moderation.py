"""Moderation: what users order is looked at before anybody is asked to make it, if `MODERATION` says by whom.

It is asked within the task, once for each attempt that is to begin something. What it refuses fails at once, and all
that was held goes back. One that does not answer is waited for as a provider is: nothing is made unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import structlog

from config import ModerationMode, Settings
from worker.ai.provider import Call, Refused, Unavailable

log = structlog.get_logger(__name__)

WORDS = ("prompt", "text")
"""The fields of inputs that hold a user's own words."""

PICTURES = ("upload", "image_url")

FLAG, AWAY = "[mock:flagged]", "[mock:unmoderated]"
"""What the mock refuses, and what finds it away, in development."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an order is refused; `because` are the moderation's own names of what is wrong with it."""

    flagged: bool
    because: tuple[str, ...] = ()


class Moderator(Protocol):
    """A moderation. Any number of threads share one."""

    def check(self, call: Call) -> Verdict:
        """Look at what `call` is about to make. Raises `ProviderError`, and `Canceled` out of `call.pause`."""
        ...


class MockModerator:
    """Refuses what says so, in development."""

    def __init__(self, scripts: bool) -> None:
        self._scripts = scripts

    def check(self, call: Call) -> Verdict:
        said = " ".join(words(call))
        if self._scripts and AWAY in said:
            raise Unavailable("provider_error", "The moderation is away.")
        return Verdict(self._scripts and FLAG in said, ("mock",))


def words(call: Call) -> list[str]:
    """What the user has written."""
    return [call.input[name] for name in WORDS if call.input.get(name)]


def has_picture(call: Call) -> bool:
    return any(call.input.get(name) for name in PICTURES)


def moderate(moderator: Moderator, call: Call) -> None:
    """Let an order pass, or raise `Refused`; raises `Unavailable` while nobody can say, and as `Moderator.check`."""
    try:
        verdict = moderator.check(call)
    except Unavailable as error:
        message = "The moderation is not available at the moment."
        raise Unavailable("moderation_unavailable", message, retry_after=error.retry_after, usage={}) from error
    if verdict.flagged:
        log.warning("order_refused", job_id=str(call.job_id), because=verdict.because)
        raise Refused("content_refused", "This is not made here: the moderation refused it.", usage={})


def moderator(settings: Settings) -> Moderator | None:
    """Who moderates under these settings; the same one each time. None when nobody does."""
    return _moderator(settings)


@cache
def _moderator(settings: Settings) -> Moderator | None:
    if settings.moderation is ModerationMode.none:
        return None
    if settings.moderation is ModerationMode.mock:
        return MockModerator(settings.in_development)
    from worker.ai.openai.moderating import OpenAIModerator

    return OpenAIModerator.of(settings)
