"""Outputs that are files: who may have one, how long they are kept, and which of the stored ones nobody will ask for.

A job's row describes what it made and says where it is stored. Once the files are gone `outputs_deleted_at` says since
when, and the descriptions stay. What is words stays as it is: it is part of the row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, select, text, tuple_, update
from sqlalchemy.orm import Session

from models.database import DAY_SECONDS, is_postgresql, now
from models.errors import JobNotFinished, NotFound, OutputGone
from models.jobs.snapshots import Snapshot, get
from models.jobs.tables import FINAL, HAS_FILES, Job
from models.users import User


@dataclass(frozen=True, slots=True)
class Over:
    """A job whose files have been kept long enough, and where they are."""

    id: UUID
    finished_at: datetime
    keys: tuple[str, ...]


def file(outputs: Sequence[dict[str, Any]] | None, deleted_at: datetime | None, index: int) -> dict[str, Any]:
    """The description of one file among a job's outputs. Raises `NotFound`, and `OutputGone` when it was deleted."""
    described = outputs[index] if outputs and index < len(outputs) else {}
    if "key" not in described:
        raise NotFound("This job has no such file.")
    if deleted_at is not None:
        raise OutputGone("This file has been deleted.")
    return described


def of_link(session: Session, *, job_id: UUID, index: int) -> dict[str, Any]:
    """The description of a file that somebody has a link to. Raises as `file`, and `NotFound` for files of those who
    are suspended or leaving: their links are good for nothing. Locks nothing."""
    row = session.execute(
        select(Job.outputs, Job.outputs_deleted_at)
        .join(User, User.id == Job.user_id)
        .where(Job.id == job_id, User.suspended_at.is_(None), User.closing_at.is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound("There is nothing here.")
    return file(row.outputs, row.outputs_deleted_at, index)


def discardable(session: Session, *, user_id: UUID, job_id: UUID) -> Snapshot:
    """A job of this user whose files may be deleted now. Raises `NotFound`, and `JobNotFinished` until it ended."""
    job = get(session, user_id=user_id, job_id=job_id)
    if not job.final:
        raise JobNotFinished("Cancel this job first, or wait until it has ended.", job_status=job.status)
    return job


def over(session: Session, *, days: int, limit: int, after: Over | None = None) -> Sequence[Over]:
    """Up to `limit` jobs that ended at least so many days ago and whose files are still there, from just after `after`,
    the first to end first. Locks nothing."""
    query = select(Job.id, Job.finished_at, Job.outputs).where(
        _has_files(session), Job.finished_at <= now(-days * DAY_SECONDS)
    )
    if after is not None:
        query = query.where(tuple_(Job.finished_at, Job.id) > (after.finished_at, after.id))
    rows = session.execute(query.order_by(Job.finished_at, Job.id).limit(limit))
    return [Over(row.id, row.finished_at, tuple(_keys(row.outputs))) for row in rows]


def deleted(session: Session, job_ids: Collection[UUID]) -> None:
    """Note that the files of these jobs are gone, where they had any. Locks the jobs."""
    session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.status.in_(FINAL), _has_files(session))
        .values(outputs_deleted_at=now(), version=Job.version + 1)
        .execution_options(synchronize_session=False)
    )


def needed(session: Session, job_ids: Collection[UUID]) -> Mapping[UUID, frozenset[str] | None]:
    """Where those of these jobs that have ended keep the files that can be asked for; None for all that a job has,
    while it has not ended. A job that is unknown here is left out. Locks nothing."""
    rows = session.execute(select(Job.id, Job.status, Job.outputs, Job.outputs_deleted_at).where(Job.id.in_(job_ids)))
    return {
        row.id: None
        if row.status not in FINAL
        else frozenset(() if row.outputs_deleted_at is not None else _keys(row.outputs))
        for row in rows
    }


def _keys(outputs: Iterable[dict[str, Any]] | None) -> Iterable[str]:
    return (output["key"] for output in outputs or () if "key" in output)


def _has_files(session: Session) -> TextClause:
    """Word for word the condition of the index, or the databases would not use it."""
    return text(HAS_FILES["postgresql" if is_postgresql(session) else "sqlite"])
