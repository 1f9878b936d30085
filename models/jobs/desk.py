"""The desk: anybody's jobs, as the people of the house see them. Reading only, and never what a job was about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from models import pages
from models.database import OUT_OF_ORDER, least_id
from models.errors import NotFound
from models.jobs import attempts
from models.jobs.attempts import Attempt
from models.jobs.tables import Job, Status
from models.kinds import Kind
from models.ledger import Lot, Transfer

WITHOUT_CONTENT = (defer(Job.input, raiseload=True), defer(Job.outputs, raiseload=True))
"""What users asked for and got is theirs: it is not even read here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are asked for; None is all. `since` is the first moment of submission, `until` the one after."""

    status: Status | None = None
    action: str | None = None
    kind: Kind | None = None
    user_id: UUID | None = None
    error_code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """A job with its attempts that are over and every transfer of its credits, in order. `given_back` is how many
    credits of its charge the house has given back since."""

    job: Job
    attempts: Sequence[Attempt]
    transfers: Sequence[Transfer]
    given_back: int


def page(session: Session, *, wanted: Wanted, limit: int, after: UUID | None = None) -> tuple[list[Job], UUID | None]:
    """Jobs, newest first, from just after the job `after`; with the id to go on from, None at the end.

    A page can be short, or empty, before the end (`pages.newest`).
    """
    filters = [
        column == value
        for column, value in (
            (Job.status, wanted.status), (Job.action, wanted.action), (Job.kind, wanted.kind),
            (Job.error_code, wanted.error_code),
        )
        if value is not None
    ]  # fmt: skip
    if wanted.since is not None:
        # The keys grow with time, and so the list ends where the time does; what is a day off is looked at.
        filters += [Job.created_at >= wanted.since, Job.id >= least_id(wanted.since - OUT_OF_ORDER)]
    if wanted.until is not None:
        filters.append(Job.created_at < wanted.until)
        latest = least_id(wanted.until + OUT_OF_ORDER)
        after = latest if after is None else min(after, latest)
    owner = None if wanted.user_id is None else (Job.user_id, wanted.user_id)
    found, following = pages.newest(
        session, select(Job).options(*WITHOUT_CONTENT), Job.id, owner=owner, filters=filters, limit=limit, after=after
    )
    if following is not None and wanted.since is not None and following < least_id(wanted.since - OUT_OF_ORDER):
        following = None
    return found, following


def find(session: Session, job_id: UUID, *, lock: bool = False) -> Job:
    """Anybody's job. Raises `NotFound`. Locks it if asked to."""
    query = select(Job).options(*WITHOUT_CONTENT).where(Job.id == job_id).execution_options(populate_existing=True)
    job = session.scalar(query.with_for_update(key_share=True, of=Job) if lock else query)
    if job is None:
        raise NotFound("There is no such job.")
    return job


def look(session: Session, job_id: UUID) -> Details:
    """Anybody's job with all that happened to it. Raises `NotFound`. Locks nothing."""
    job, ref = find(session, job_id), refund_ref(job_id)
    moved = select(Transfer).where(or_(Transfer.job_id == job_id, Transfer.ref == ref)).order_by(Transfer.id)
    return Details(
        job=job,
        attempts=attempts.of_job(session, job_id),
        transfers=session.scalars(moved).all(),
        given_back=given_back(session, job_id),
    )


def given_back(session: Session, job_id: UUID) -> int:
    """How many credits of its charge a job's user has been given back."""
    return session.scalar(select(Lot.issued).where(Lot.ref == refund_ref(job_id))) or 0


def refund_ref(job_id: UUID) -> str:
    """The business fact that a job's charge was given back, of which there is one at most."""
    return f"job:{job_id}:refund"
