"""Snapshots: jobs as their owner sees them. Reading only; polling is the commonest request of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.orm import Session

from models import pages
from models.database import DAY_SECONDS, Prepared, now
from models.errors import NotFound
from models.jobs.orders import Order
from models.jobs.tables import FINAL, Job, Status


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job at one moment. Amounts are credits of `wallet`."""

    id: UUID
    version: int
    action: str
    status: Status
    attempt: int
    wallet: str
    estimate: int
    held: int
    charged: int
    refunded: int
    breakdown: list[dict[str, Any]]
    outputs: list[dict[str, Any]] | None
    outputs_deleted_at: datetime | None
    usage: dict[str, int] | None
    fallback: bool
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))

    @property
    def final(self) -> bool:
        """Whether nothing about it can change any more."""
        return self.status in FINAL

    def as_accepted(self) -> Snapshot:
        """The job as it was when it was accepted, which is how a repeated submission is answered."""
        return replace(
            self, version=1, status=Status.queued, attempt=0, charged=0, refunded=0, outputs=None,
            outputs_deleted_at=None, usage=None, fallback=False, error_code=None, error_message=None, started_at=None,
            finished_at=None,
        )  # fmt: skip


# Columns of the table rather than of the class: these rows are read too often to be made into objects first.
_job = Job.__table__.c
SHOWN = tuple(_job[name] for name in Snapshot.__dataclass_fields__)

_ONE = Prepared(
    select(*SHOWN).where(
        _job.id == bindparam("job_id", type_=Uuid()), _job.user_id == bindparam("user_id", type_=Uuid())
    )
)


def fresh(order: Order, *, created_at: datetime, expires_at: datetime | None) -> Snapshot:
    """The snapshot of a job that was accepted this moment."""
    return Snapshot(
        id=order.id,
        version=1,
        action=order.action,
        status=Status.queued,
        attempt=0,
        wallet=order.wallet,
        estimate=order.price,
        held=order.price,
        charged=0,
        refunded=0,
        breakdown=order.breakdown,
        outputs=None,
        outputs_deleted_at=None,
        usage=None,
        fallback=False,
        error_code=None,
        error_message=None,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        expires_at=expires_at,
    )


def get(session: Session, *, user_id: UUID, job_id: UUID) -> Snapshot:
    """One job of this user. Raises `NotFound`, also for jobs of others. One indexed read, no lock."""
    row = _ONE.one_or_none(session, job_id=job_id, user_id=user_id)
    if row is None:
        raise NotFound("There is no such job.")
    return Snapshot(*row)


def read(*, user_id: UUID, job_id: UUID) -> Snapshot:
    """`get`, on a connection of its own: for polling, which is the commonest request of all."""
    row = _ONE.read(job_id=job_id, user_id=user_id)
    if row is None:
        raise NotFound("There is no such job.")
    return Snapshot(*row)


def page(
    session: Session, *, user_id: UUID, limit: int, after: UUID | None = None, status: Status | None = None
) -> tuple[list[Snapshot], UUID | None]:
    """The user's jobs, newest first, from just after the job `after`; with the id to go on from, None at the end.

    With a status, a page can be short, or empty, before the end (`pages.newest`).
    """
    filters = [] if status is None else [Job.status == status]
    rows, following = pages.newest(
        session, select(*SHOWN), Job.id, owner=(Job.user_id, user_id), filters=filters, limit=limit, after=after
    )
    return [Snapshot(*row) for row in rows], following


def counts(session: Session, *, user_id: UUID, days: int) -> dict[Status, int]:
    """How many jobs of the last so many days a user has, by status. Locks nothing."""
    recent = Job.user_id == user_id, Job.created_at > now(-days * DAY_SECONDS)
    rows = session.execute(select(Job.status, func.count()).where(*recent).group_by(Job.status).order_by(Job.status))
    return {status: int(number) for status, number in rows}
