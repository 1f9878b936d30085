"""Scripted outcomes of the mock provider: markers that any words or address of the input may carry.

    [mock:fail]         refused for good
    [mock:filtered]     refused for good by the content filter
    [mock:fail-twice]   unavailable on the first two attempts
    [mock:unavailable]  unavailable on every attempt
    [mock:rate-limited] rate limited on the first attempt, asking for a second's wait
    [mock:hang]         no answer; gives up at its timeout
    [mock:stuck]        no answer until ten times its timeout
    [mock:overrun]      delivers 250 percent of what was ordered
    [mock:underrun]     delivers 40 percent of what was ordered
    [mock:crash]        kills the whole process
    [mock:crash-once]   kills the whole process on the first attempt
    [mock:latency=2.5]  answers after so many seconds, at most 600

They combine. In an address the punctuation may be percent-encoded. An unknown marker is ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from worker.ai.provider import ProviderError, Refused, Unavailable

MARKER = re.compile(
    r"(?:\[|%5[Bb]) mock (?::|%3[Aa]) ([a-z-]+) (?: (?:=|%3[Dd]) ([0-9]{1,9} (?:\.[0-9]{1,9})?) )? (?:\]|%5[Dd])",
    re.VERBOSE,
)

LONGEST_LATENCY = 600.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Script:
    """What is to happen: `marks` are the names of the markers without a value, `latency` is in seconds."""

    marks: frozenset[str] = frozenset()
    latency: float | None = None

    @property
    def answer_after(self) -> float | None:
        """Seconds until the answer, endless if there is none; None leaves it to the provider."""
        return inf if "hang" in self.marks else self.latency

    @property
    def ignores_timeout(self) -> bool:
        return "stuck" in self.marks

    @property
    def delivered_percent(self) -> int:
        if "overrun" in self.marks:
            return 250
        return 40 if "underrun" in self.marks else 100

    def crashes(self, attempt: int) -> bool:
        """Whether this attempt takes the process down."""
        return "crash" in self.marks or ("crash-once" in self.marks and attempt == 1)

    def error(self, attempt: int) -> ProviderError | None:
        """What this attempt is turned away with, if it is."""
        if "fail" in self.marks:
            return Refused("provider_refused", "The provider refused this request.")
        if "filtered" in self.marks:
            return Refused("content_filtered", "The provider's content filter refused this request.")
        if "unavailable" in self.marks or ("fail-twice" in self.marks and attempt <= 2):
            return Unavailable("provider_unavailable", "The provider is not available at the moment.")
        if "rate-limited" in self.marks and attempt == 1:
            return Unavailable("provider_rate_limited", "The provider has too many requests.", retry_after=1)
        return None


PLAIN = Script()
"""Nothing out of the ordinary."""


def read_script(values: Mapping[str, Any]) -> Script:
    """The script that the strings among `values` spell out together."""
    found = [
        marker
        for value in values.values()
        if isinstance(value, str) and "mock" in value  # most inputs have none, and the search costs more
        for marker in MARKER.findall(value)
    ]
    if not found:
        return PLAIN
    latency = None
    for name, value in found:
        if name == "latency" and value:
            latency = min(float(value), LONGEST_LATENCY)
    return Script(frozenset(name for name, value in found if not value), latency)
