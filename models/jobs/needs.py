"""Needs: what an unfinished job must still find when it runs: the upload that it begins with."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from models.jobs.tables import Job, Status
from models.uploads import Upload


def needed(session: Session, uploads: Iterable[Upload]) -> set[UUID]:
    """Which of these uploads a job names that has not ended. Locks nothing.

    Unfinished jobs are few beside all that ever were, and both kinds have an index of their own.
    """
    owners = {str(upload.id): upload.user_id for upload in uploads}
    name = Job.input["upload"].as_string()
    theirs = Job.user_id.in_(set(owners.values())), name.in_(owners)
    waiting = select(name).where(Job.status == Status.queued, *theirs)
    running = select(name).where(Job.status.in_([Status.running, Status.canceling]), *theirs)
    return {UUID(named) for named in session.scalars(union(waiting, running)) if named}


def upload_of(session: Session, *, job_id: UUID, upload_id: UUID) -> Upload | None:
    """The upload that a job names, also when it is over by now; None when it is gone, or is not its user's."""
    query = select(Upload).join(Job, Job.user_id == Upload.user_id).where(Job.id == job_id, Upload.id == upload_id)
    return session.scalars(query).one_or_none()
