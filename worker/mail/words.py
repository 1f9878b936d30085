"""Words in mails: money, credits, moments and spans of time as people read them, and what is safe in a header."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.money import money as money

LINE = 72
"""Characters; wider plain text is broken by mail programs, and not well."""


def credits_of(listed: list[Mapping[str, Any]]) -> str:
    """`100 Tokens and 30 Chat minutes`."""
    return " and ".join(f"{each['amount']:,} {each['title']}" for each in listed)


def moment(text: str) -> str:
    """A moment in ISO 8601 as `21 November 2026, 15:04 UTC`."""
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""By hand: the machine's own names depend on its locale."""


def span(seconds: float) -> str:
    """`3 days`, `24 hours`, `1 hour`."""
    hours = round(seconds / 3600)
    number, unit = (hours // 24, "day") if hours % 24 == 0 and hours > 24 else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def flow(text: str) -> str:
    """A paragraph of plain text in lines; a link stays whole."""
    return textwrap.fill(" ".join(text.split()), LINE, break_long_words=False, break_on_hyphens=False)


def one_line(text: str) -> str:
    """Text for a header: no line ends, nothing invisible, and nothing that a mail program would decode, for what is
    encoded may hold a line end of its own."""
    visible = "".join(each for each in " ".join(text.split()) if each.isprintable())
    return visible.replace("=?", "= ?")
