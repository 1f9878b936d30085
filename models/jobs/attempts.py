"""Attempts: who was asked in each run of a job, what they used, what that costs us, and how the run ended.

A row is written when an attempt is over and never changed, but for one that was given up as lost and then turns up
after all: it brings what it used. A job that runs twice is charged once and may cost us twice; here both are seen.
None of it is for users, who pay the price of their order whatever it costs us.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, Json, insert_into, now, words
from models.jobs.tables import Job, Status


class Ending(StrEnum):
    """What finishing an attempt came to."""

    completed = "completed"
    failed = "failed"
    canceled = "canceled"
    requeued = "requeued"
    stale = "stale"
    """The attempt did not own the job any more, and changed nothing about it."""
    lost = "lost"
    """Nobody finished it: its worker fell silent."""


LONGEST_MODEL, LONGEST_REQUEST_ID = 200, 255


class Attempt(Base):
    """One run of a job that is over. `number` is the job's count of attempts at that time.

    `provider` and `model` are who was asked, if anybody was; `usage` is what they say they used, None when it is not
    known; `cost_micros` is what that costs us in millionths of a US dollar, None when it is not known. `started_at` is
    None of an attempt that another took over from before anybody missed it.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("number > 0", name="counted_from_one"),
        CheckConstraint("cost_micros >= 0", name="cost_not_negative"),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    provider: Mapped[str | None] = mapped_column(String(50))
    model: Mapped[str | None] = mapped_column(String(LONGEST_MODEL))
    provider_request_id: Mapped[str | None] = mapped_column(String(LONGEST_REQUEST_ID))
    started_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    ended_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ending: Mapped[Ending] = mapped_column(words(Ending, "ending"))
    error_code: Mapped[str | None] = mapped_column(String(64))
    usage: Mapped[dict[str, int] | None] = mapped_column(Json)
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Effort:
    """What an attempt took: who was asked, what they used, and what that costs us.

    `usage` and `cost_micros` (millionths of a US dollar) are None when they are not known.
    """

    provider: str | None = None
    model: str | None = None
    request_id: str | None = None
    usage: Mapping[str, int] | None = None
    cost_micros: int | None = None

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model and self.model[:LONGEST_MODEL],
            "provider_request_id": self.request_id and self.request_id[:LONGEST_REQUEST_ID],
            "usage": None if self.usage is None else dict(self.usage),
            "cost_micros": self.cost_micros,
        }


NOBODY = Effort()
"""Of an attempt that ended before anybody was asked, or of which nothing is known."""


def note(
    session: Session,
    *,
    job_id: UUID,
    number: int,
    ending: Ending,
    started_at: datetime | None,
    effort: Effort = NOBODY,
    fault: str | None = None,
) -> None:
    """Write down how an attempt ended, in the transaction that ends it; `fault` is the code of what was wrong.

    One that is written down already stays as it is.
    """
    values = {
        "job_id": job_id, "number": number, "ending": ending, "started_at": started_at, "error_code": fault,
    }  # fmt: skip
    session.execute(insert_into(session, Attempt).values(**values, **effort.columns).on_conflict_do_nothing())


def note_stale(session: Session, *, job_id: UUID, number: int, effort: Effort, fault: str | None = None) -> None:
    """Write down what an attempt took that owns its job no more, though it may have been given up as lost."""
    found = {"ending": Ending.stale, "error_code": fault, **effort.columns}
    session.execute(
        insert_into(session, Attempt)
        .values(job_id=job_id, number=number, **found)
        .on_conflict_do_update(
            index_elements=[Attempt.job_id, Attempt.number],
            set_={**found, "ended_at": now()},
            where=Attempt.ending == Ending.lost,
        )
    )


def note_taken_over(session: Session, *, job_id: UUID, number: int) -> None:
    """Write down that the attempt before this one is lost, unless it is known how it ended."""
    if number > 1:
        note(session, job_id=job_id, number=number - 1, ending=Ending.lost, started_at=None)


def of_job(session: Session, job_id: UUID) -> Sequence[Attempt]:
    """The attempts at a job that are over, in order."""
    return session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)).all()


def erase(session: Session, job_ids: Sequence[UUID]) -> None:
    """Forget what the providers know the runs of these jobs as; what they used and cost stays."""
    session.execute(
        update(Attempt)
        .where(Attempt.job_id.in_(job_ids))
        .values(provider_request_id=None)
        .execution_options(synchronize_session=False)
    )


def findings(session: Session) -> Iterator[str]:
    """Attempts that are said to have completed a job which is not, or which another one completed."""
    for row in session.execute(
        select(Attempt.job_id, Attempt.number, Job.status, Job.attempt)
        .join(Job, Job.id == Attempt.job_id)
        .where(Attempt.ending == Ending.completed)
        .where((Job.status != Status.completed) | (Job.attempt != Attempt.number))
    ):
        yield f"attempt {row.number} says it completed job {row.job_id}, which is {row.status} by attempt {row.attempt}"
