"""What an AI provider is to Coinop: one call, its result, its errors.

A provider knows nothing of credits, users or the database. It is handed a `Call`, talks to its backend within
`call.timeout` seconds, and returns a `Generation` or raises a `ProviderError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from uuid import UUID

from config import Settings
from models.pictures import Picture


@dataclass(frozen=True, slots=True)
class Text:
    """An output that is words: it lives in the job's row."""

    text: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a conversation comes to, and replies to choose from: it lives in the job's row."""

    summary: str
    tone: str
    intent: str
    advice: str
    suggestions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artefact:
    """An output that is a file: it goes to storage."""

    media_type: str
    data: bytes


Output = Text | Analysis | Artefact


@dataclass(frozen=True, slots=True)
class Generation:
    """What a provider made.

    `usage` is what the provider reports (tokens, images, seconds). `delivered_percent` is how much of the ordered
    work was really delivered, in percent; the charge follows it and never exceeds what was held. `request_id` is the
    provider's own name for the work.
    """

    outputs: tuple[Output, ...]
    usage: Mapping[str, int] = field(default_factory=dict)
    delivered_percent: int = 100
    request_id: str | None = None


class Call(Protocol):
    """One call for one attempt at a job, as the provider sees it."""

    @property
    def job_id(self) -> UUID: ...

    @property
    def kind(self) -> str: ...

    @property
    def model(self) -> str:
        """Which of the backend's models is to do it (`AI_PROVIDERS`)."""
        ...

    @property
    def input(self) -> Mapping[str, Any]: ...

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds the provider may take in all."""
        ...

    @property
    def request_id(self) -> str | None:
        """The provider's own id from an earlier attempt, to resume instead of paying twice."""
        ...

    def picture(self) -> Picture:
        """The picture that the input names by `upload` or `image_url`: proven to be one, with its size, type and bytes.

        It is fetched when first asked for, and once for each attempt. Raises `ProviderError`.
        """
        ...

    def began(self, request_id: str) -> None:
        """Say that the provider has taken the work on under this id; stored at once. Raises `Lost`."""

    def pause(self, seconds: float) -> None:
        """Wait, at most `seconds`; raises `Canceled` as soon as the user cancels, `Lost` when the lease is lost."""


class Provider(Protocol):
    """An AI backend. Any number of threads share one."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make it as the settings say. Asks the backend nothing yet."""
        ...

    def generate(self, call: Call) -> Generation:
        """Do the work. Raises `ProviderError`, or `Canceled` out of `call.pause`."""
        ...


class Canceled(Exception):
    """The user no longer wants the result: what the provider began may be stopped."""


class Lost(Canceled):
    """This attempt no longer owns the job. What the provider began belongs to the attempt that does: leave it alone."""


class ProviderError(Exception):
    """The provider did not deliver. `code` is stable and public; `message` is plain words, free of secrets."""

    retryable = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        usage: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds the provider asked us to wait, if it said so."""
        self.usage = usage
        """What it used all the same, as of a `Generation`; None when it is not known."""


class Refused(ProviderError):
    """Permanent: the same request would be refused again (bad request, content filtered)."""


class Unavailable(ProviderError):
    """Passing: rate limit, server error, timeout, lost connection."""

    retryable = True


class Unfinished(Unavailable):
    """Passing, and no sign that the provider is unwell: it answers, but this work took too long or came to nothing."""
