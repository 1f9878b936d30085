"""Times, as they are sent: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def render_time(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.123456Z`, or None."""
    return None if moment is None else moment.isoformat().removesuffix("+00:00") + "Z"


def render_seconds(seconds: int) -> str:
    """`2026-01-31T12:00:00Z` for seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00") + "Z"
