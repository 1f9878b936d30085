"""The jobs' tables: the customer's row, and how many unfinished jobs each user has."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, Json, now, words
from models.kinds import Kind


class Status(StrEnum):
    """Where a job is in its life. The last four are final."""

    queued = "queued"
    running = "running"
    canceling = "canceling"
    completed = "completed"
    failed = "failed"
    canceled = "canceled"
    expired = "expired"


ZERO = text("0")

LIVE = (Status.queued, Status.running, Status.canceling)
FINAL = (Status.completed, Status.failed, Status.canceled, Status.expired)


HAS_FILES = {
    "postgresql": """outputs @> CAST('[{"type": "file"}]' AS jsonb) AND outputs_deleted_at IS NULL""",
    "sqlite": """instr(outputs, '"type": "file"') > 0 AND outputs_deleted_at IS NULL""",
}
"""Which jobs made files that are still there, for each database."""


class Queue(StrEnum):
    """The generation queues; the others belong to other nouns."""

    generation = "generation"
    high = "generation.high"


class Job(Base):
    """One order of an action, with its price as it was sold.

    `estimate` is the price in credits and what is held until the job ends; then `charged` + `refunded` = `held`.
    `lease_token` names the attempt that owns a running job and `lease_until` is how long it may stay silent; an
    attempt that finishes under another token is stale. `settling` is how the charge follows what is made, if it does.
    `run_after` keeps a queued job waiting (back-off). `version`
    grows with every change that a client can see. `provider_request_id` is set once a provider has begun. `waits_for`
    is why nobody has called a queued job yet (`line.py`, `places.py`); None when its wake-up is on its way.
    `put_back_at` is when a provider that was down or full first had the job wait, until it was let in; `at_provider`
    is the limited provider at which a running job takes a place, for as long as its lease holds. `fallback` marks a
    result that the mock provider made in place of a real one, which costs nothing.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        CheckConstraint("charged >= 0 AND refunded >= 0 AND charged + refunded <= held", name="within_hold"),
        CheckConstraint("held <= estimate", name="held_within_estimate"),
        CheckConstraint(
            "(status IN ('queued', 'running', 'canceling')) = (finished_at IS NULL)", name="finished_when_final"
        ),
        CheckConstraint("finished_at IS NULL OR charged + refunded = held", name="one_outcome"),
        Index("ix_jobs_user_id_id", "user_id", "id"),
        Index(
            "ix_jobs_lease_until",
            "lease_until",
            postgresql_where=text("status IN ('running', 'canceling')"),
            sqlite_where=text("status IN ('running', 'canceling')"),
        ),
        Index(
            "ix_jobs_run_after",
            "run_after",
            postgresql_where=text("status = 'queued'"),
            sqlite_where=text("status = 'queued'"),
        ),
        Index(
            "ix_jobs_expires_at",
            "expires_at",
            postgresql_where=text("status = 'queued' AND expires_at IS NOT NULL"),
            sqlite_where=text("status = 'queued' AND expires_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_finished_at",
            "finished_at",
            "id",
            postgresql_where=text(HAS_FILES["postgresql"]),
            sqlite_where=text(HAS_FILES["sqlite"]),
        ),
        Index(
            "ix_jobs_waits_for",
            "waits_for",
            "user_id",
            "queue",
            "id",
            postgresql_where=text("status = 'queued' AND waits_for IS NOT NULL"),
            sqlite_where=text("status = 'queued' AND waits_for IS NOT NULL"),
        ),
        Index(
            "ix_jobs_at_provider",
            "at_provider",
            postgresql_where=text("status IN ('running', 'canceling') AND at_provider IS NOT NULL"),
            sqlite_where=text("status IN ('running', 'canceling') AND at_provider IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(50))
    kind: Mapped[Kind] = mapped_column(words(Kind, "kind"))
    queue: Mapped[Queue] = mapped_column(words(Queue, "queue"))
    status: Mapped[Status] = mapped_column(words(Status, "status"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    input: Mapped[dict[str, Any]] = mapped_column(Json)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_digest: Mapped[str] = mapped_column(String(64))

    wallet: Mapped[str] = mapped_column(String(50))
    breakdown: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    cancel_charge: Mapped[int] = mapped_column(server_default=text("100"))
    settling: Mapped[dict[str, Any] | None] = mapped_column(Json)
    estimate: Mapped[int] = mapped_column(BigId)
    held: Mapped[int] = mapped_column(BigId)
    charged: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    refunded: Mapped[int] = mapped_column(BigId, server_default=ZERO)

    attempt: Mapped[int] = mapped_column(server_default=ZERO)
    max_attempts: Mapped[int]
    run_after: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    waits_for: Mapped[str | None] = mapped_column(String(50))
    put_back_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    at_provider: Mapped[str | None] = mapped_column(String(50))
    expires_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    provider_request_id: Mapped[str | None] = mapped_column(String(255))

    outputs: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)
    outputs_deleted_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    usage: Mapped[dict[str, int] | None] = mapped_column(Json)
    fallback: Mapped[bool] = mapped_column(server_default=false())
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(500))

    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    started_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class JobSlots(Base):
    """How many unfinished jobs a user has; its row is also the lock that puts one user's submissions in a line."""

    __tablename__ = "job_slots"
    __table_args__ = (CheckConstraint("taken >= 0", name="taken_not_negative"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    taken: Mapped[int] = mapped_column(server_default=ZERO)
