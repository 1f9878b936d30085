"""API keys: how a server of the customer calls, in the name of a user but with less than a user may.

A key is shown once, when it is made; the database keeps its SHA-256. It is random in full, so a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import users
from models.database import AwareDateTime, Base, Json, Prepared, days_ahead, new_id, now
from models.errors import NotFound, TooManyApiKeys
from models.users import User

PREFIX = "coinop_"
"""How every key begins, so that people and secret scanners know one when they see it."""

RANDOM_BYTES = 32
KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
HINT_LENGTH = len(PREFIX) + 5
"""Characters of a key that are kept, to tell it from others: 30 of its 256 bits."""

MOST_KEYS = 50
"""How many keys a user may have at once."""

USE_NOTED_SECONDS = 60.0
"""How exactly `last_used_at` is kept: a key in use all day is written down once a minute."""


class Scope(StrEnum):
    """What a key may be used for. None of them opens what is the user's alone: password, address, log-ins, keys."""

    jobs_read = "jobs:read"
    jobs_write = "jobs:write"
    credits_read = "credits:read"
    credits_write = "credits:write"
    account_read = "account:read"


class ApiKey(Base):
    """One key. `hint` is how it begins, to tell it from others; `scopes` are what it may be used for."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_user_id_id", "user_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100))
    hint: Mapped[str] = mapped_column(String(20))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    expires_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


@dataclass(frozen=True, slots=True)
class Found:
    """A key that is good now. `unnoted` says that its use was not written down lately."""

    id: UUID
    user_id: UUID
    scopes: Sequence[str]
    unnoted: bool


def create(
    session: Session, *, user_id: UUID, name: str, scopes: Collection[Scope], expires_in_days: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key for a user and return it with its text, which nobody can show again.

    Locks the user. Raises `TooManyApiKeys` when the user has as many as there may be, expired ones included.
    """
    users.lock(session, user_id)
    has = session.scalar(select(func.count()).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None)))
    if has is not None and has >= MOST_KEYS:
        raise TooManyApiKeys(f"You have {has} API keys, as many as there may be: revoke one first.", limit=MOST_KEYS)
    text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    made = insert(ApiKey).values(
        id=new_id(),
        user_id=user_id,
        name=name,
        hint=text[:HINT_LENGTH],
        key_hash=_hash(text),
        scopes=sorted(set(scopes)),
        expires_at=days_ahead(session, expires_in_days),
    )
    return session.execute(made.returning(ApiKey)).scalar_one(), text


def of_user(session: Session, *, user_id: UUID) -> Sequence[ApiKey]:
    """The user's keys, newest first, without those that were revoked."""
    mine = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    return session.scalars(mine.order_by(ApiKey.id.desc())).all()


def revoke(session: Session, *, user_id: UUID, key_id: UUID) -> None:
    """End a key for good. Again changes nothing. Locks the key. Raises `NotFound`, also for those of others."""
    if session.scalar(select(ApiKey.id).where(ApiKey.id == key_id, ApiKey.user_id == user_id)) is None:
        raise NotFound("There is no such API key.")
    session.execute(update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now()))


def revoke_all(session: Session, *, user_id: UUID) -> None:
    """End all of a user's keys for good."""
    live = update(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    session.execute(live.values(revoked_at=now()).execution_options(synchronize_session=False))


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete all of a user's keys, revoked ones too."""
    session.execute(delete(ApiKey).where(ApiKey.user_id == user_id))


_unnoted = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now(-USE_NOTED_SECONDS))

_FIND = Prepared(
    select(ApiKey.id, ApiKey.user_id, ApiKey.scopes, _unnoted.label("unnoted"))
    .join(User, User.id == ApiKey.user_id)
    .where(
        ApiKey.key_hash == bindparam("hash"),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()),
        User.suspended_at.is_(None),
        User.closing_at.is_(None),
    )
)


def find(text: str) -> Found | None:
    """The key with this text if it is good now, or None: unknown, revoked, expired, or its user may not call.

    One indexed read on a connection of its own.
    """
    if not KEY.fullmatch(text):
        return None
    row = _FIND.read(hash=_hash(text))
    return None if row is None else Found(*row)


def note_use(session: Session, *, key_id: UUID) -> None:
    """Write down that a key was used, unless somebody has within the last minute."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, _unnoted)
        .values(last_used_at=now())
        .execution_options(synchronize_session=False)
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
