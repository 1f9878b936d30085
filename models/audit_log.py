"""The audit log: who changed what in the name of the house, with what was before and after. It only grows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import pages
from models.database import AwareDateTime, Base, BigId, Json, now, words


class Actor(StrEnum):
    """Who acts: an admin with an account, whoever has the admin API key, or whoever runs a command on the machine."""

    admin = "admin"
    admin_key = "admin_key"
    command = "command"


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and in which request if it is one."""

    actor: Actor
    actor_id: UUID | None = None
    request_id: str | None = None


class AuditEntry(Base):
    """One change. `target` names the row (`user:<id>`); triggers refuse to update or delete entries."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_target_id", "target", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    actor: Mapped[Actor] = mapped_column(words(Actor, "actor"))
    actor_id: Mapped[UUID | None]
    verb: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(200))
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def record(
    session: Session,
    *,
    by: By,
    verb: str,
    target: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str | None = None,
) -> AuditEntry:
    """Write down a change with the transaction that makes it, so that neither is without the other. Returns the entry.

    `verb` says what was done in dotted words (`user.role`). No secrets in `before` and `after`, and nothing that tells
    who a user is but the id: entries outlast the account.
    """
    return session.scalars(
        insert(AuditEntry)
        .values(
            actor=by.actor, actor_id=by.actor_id, verb=verb, target=target, before=before, after=after, reason=reason,
            request_id=by.request_id,
        )
        .returning(AuditEntry)
    ).one()  # fmt: skip


def decided_before(session: Session, *, verb: str, target: str, key: str) -> AuditEntry | None:
    """The entry about `target` whose `after` has this `key`; the caller keeps others from writing it meanwhile."""
    return session.scalar(
        select(AuditEntry).where(
            AuditEntry.target == target, AuditEntry.verb == verb, AuditEntry.after["key"].as_string() == key
        )
    )


def newest(session: Session, *, target: str) -> AuditEntry | None:
    """The last entry about `target`, if there is one."""
    return session.scalar(select(AuditEntry).where(AuditEntry.target == target).order_by(AuditEntry.id.desc()).limit(1))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; None is all."""

    target: str | None = None
    actor: Actor | None = None
    actor_id: UUID | None = None


def page(
    session: Session, *, wanted: Wanted, limit: int, after: int | None = None
) -> tuple[list[AuditEntry], int | None]:
    """Entries, newest first, from just after `after`; with the id to go on from, None at the end.

    A page can be short, or empty, before the end (`pages.newest`).
    """
    filters = [
        column == value
        for column, value in ((AuditEntry.actor, wanted.actor), (AuditEntry.actor_id, wanted.actor_id))
        if value is not None
    ]
    about = None if wanted.target is None else (AuditEntry.target, wanted.target)
    return pages.newest(
        session, select(AuditEntry), AuditEntry.id, owner=about, filters=filters, limit=limit, after=after
    )
