"""Erasure: forgetting what a user's jobs were about, once the user has gone or they are old. What they cost stays in
the books."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, literal, null, select, text, update
from sqlalchemy.orm import Session

from models import retention
from models.database import is_postgresql
from models.jobs import attempts
from models.jobs.tables import FINAL, HAS_FILES, Job

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
    _forget(session, job_ids, outputs=null(), digest=literal(FORGOTTEN))


def forget_old(session: Session, *, days: int, limit: int) -> int:
    """Forget the input and the output of up to `limit` jobs that were submitted at least so many days ago, the oldest
    first, and return how many were looked at.

    As `erase` does; but a job whose files are still there keeps what describes them, and that it is to be erased with
    its account. Its row stays: action, price, times, states and what its attempts cost are what the statement, the
    audit, metrics and margins are worked out from. Locks the walk's mark, then the jobs.
    """
    job_ids = retention.walk(session, Job.id, name="jobs", days=days, limit=limit)
    has_files = text(HAS_FILES["postgresql" if is_postgresql(session) else "sqlite"])
    outputs = case((has_files, Job.outputs), else_=null())
    digest = case((has_files, Job.request_digest), else_=FORGOTTEN)
    _forget(session, job_ids, Job.request_digest != FORGOTTEN, outputs=outputs, digest=digest)
    return len(job_ids)


def _forget(
    session: Session,
    job_ids: Sequence[UUID],
    *which: ColumnElement[bool],
    outputs: ColumnElement[Any],
    digest: ColumnElement[str],
) -> None:
    session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.status.in_(FINAL), *which)
        .values(
            input={},
            outputs=outputs,
            error_message=None,
            idempotency_key=None,
            provider_request_id=None,
            request_digest=digest,
            version=Job.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    attempts.erase(session, job_ids)
