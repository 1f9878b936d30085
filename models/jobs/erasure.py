"""Erasure: forgetting what a user's jobs were about, once the user has gone. What they cost stays in the books."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.jobs import attempts
from models.jobs.tables import FINAL, Job

FORGOTTEN = ""
"""The digest of a request that nobody is to know."""


def to_erase(session: Session, *, user_id: UUID, limit: int, after: UUID | None = None) -> Sequence[UUID]:
    """Up to `limit` of a user's ended jobs that still say what they were about, from just after `after`.

    Locks nothing. Their files are in storage under the job's id; delete those first, then `erase` the rows.
    """
    query = select(Job.id).where(Job.user_id == user_id, Job.status.in_(FINAL), Job.request_digest != FORGOTTEN)
    if after is not None:
        query = query.where(Job.id > after)
    return session.scalars(query.order_by(Job.id).limit(limit)).all()


def erase(session: Session, job_ids: Sequence[UUID]) -> None:
    """Forget the input and the output of ended jobs; action, times, states and amounts stay. Locks the jobs."""
    session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.status.in_(FINAL))
        .values(
            input={},
            outputs=None,
            error_message=None,
            idempotency_key=None,
            provider_request_id=None,
            request_digest=FORGOTTEN,
            version=Job.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    attempts.erase(session, job_ids)
