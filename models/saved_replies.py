"""Saved replies: suggestions out of chat analyses that a user wants to keep."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import pages, users
from models.database import AwareDateTime, Base, BigId, now
from models.errors import Fault, InvalidInput, NotFound
from models.jobs import Job, Status
from models.kinds import Kind


class SavedReply(Base):
    """One suggestion of one job's output, kept word for word."""

    __tablename__ = "saved_replies"
    __table_args__ = (
        UniqueConstraint("job_id", "output", "suggestion"),
        Index("ix_saved_replies_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"))
    output: Mapped[int]
    suggestion: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def save(session: Session, *, user_id: UUID, job_id: UUID, output: int, suggestion: int) -> tuple[SavedReply, bool]:
    """Keep one suggestion of a completed chat job of the user, and say whether that is new.

    Saving it again returns the first. Locks the user. Raises `NotFound` when the user has no such job, `InvalidInput`
    naming `output` or `suggestion` when the job has none of this number.
    """
    users.lock(session, user_id)
    outputs = session.scalar(
        select(Job.outputs).where(
            Job.id == job_id, Job.user_id == user_id, Job.kind == Kind.chat, Job.status == Status.completed
        )
    )
    if outputs is None:
        raise NotFound("There is no such completed chat job.")
    if output >= len(outputs):
        raise InvalidInput(Fault("output", f"this job has {len(outputs)} outputs, counted from 0"))
    suggestions = outputs[output].get("suggestions", [])
    if suggestion >= len(suggestions):
        raise InvalidInput(Fault("suggestion", f"this analysis has {len(suggestions)} suggestions, counted from 0"))
    kept = session.scalar(
        select(SavedReply).where(
            SavedReply.job_id == job_id, SavedReply.output == output, SavedReply.suggestion == suggestion
        )
    )
    if kept is not None:
        return kept, False
    made = insert(SavedReply).values(
        user_id=user_id, job_id=job_id, output=output, suggestion=suggestion, text=suggestions[suggestion]
    )
    return session.execute(made.returning(SavedReply)).scalar_one(), True


def saved(
    session: Session, *, user_id: UUID, limit: int, after: int | None = None
) -> tuple[list[SavedReply], int | None]:
    """What the user saved, newest first, from just after `after`; with the id to go on from, None at the end."""
    return pages.newest(
        session, select(SavedReply), SavedReply.id, owner=(SavedReply.user_id, user_id), limit=limit, after=after
    )


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete all that a user saved."""
    session.execute(delete(SavedReply).where(SavedReply.user_id == user_id))


def forget(session: Session, *, user_id: UUID, reply_id: int) -> None:
    """Delete a saved reply of the user. Locks it. Raises `NotFound`, also for those of others."""
    gone = delete(SavedReply).where(SavedReply.id == reply_id, SavedReply.user_id == user_id)
    if session.scalar(gone.returning(SavedReply.id)) is None:
        raise NotFound("There is no such saved reply.")
