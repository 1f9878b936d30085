"""Endings: which jobs a transaction has ended. Once it is committed, those who wait for them can be told."""

from __future__ import annotations

from uuid import UUID

from models.database import Sender

ENDED = "ended_jobs"
"""Where a session keeps the jobs it ended, for the announcer to take once that is committed."""


def ended(session: Sender, job_id: UUID) -> None:
    """Note that a job has ended with this session. Who is told of it too early looks and goes on waiting."""
    session.info.setdefault(ENDED, []).append(job_id)
