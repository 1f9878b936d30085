"""Refresh tokens: each is used once, and a replay ends its whole family.

The token itself is a signed JWT; the database keeps only its id. Tokens that descend from one log-in form a family:
when a token comes back that was already exchanged, somebody has a copy, so every descendant stops working.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, delete, insert, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, new_id, now

LIFETIME_SECONDS = 30 * 24 * 3600


class RefreshToken(Base):
    """One refresh token; `used_at` is set by the exchange that consumed it."""

    __tablename__ = "refresh_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    family_id: Mapped[UUID] = mapped_column(index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


def issue(session: Session, *, user_id: UUID, family_id: UUID | None = None) -> UUID:
    """Record a new token, at the head of `family_id` or of a family of its own, and return its id."""
    token_id: UUID = new_id()
    session.execute(
        insert(RefreshToken).values(
            id=token_id, family_id=family_id or token_id, user_id=user_id, expires_at=now(LIFETIME_SECONDS)
        )
    )
    return token_id


def exchange(session: Session, *, token_id: UUID) -> UUID | None:
    """Consume a token and return the id of its successor, or None when it is unknown, expired or used before.

    Of many exchanges of one token at once, one works. A replay deletes the family: the caller must let the
    transaction commit in that case too.
    """
    row = session.execute(
        update(RefreshToken)
        .where(RefreshToken.id == token_id, RefreshToken.used_at.is_(None), RefreshToken.expires_at > now())
        .values(used_at=now())
        .returning(RefreshToken.family_id, RefreshToken.user_id)
    ).one_or_none()
    if row is None:
        revoke(session, token_id=token_id)
        return None
    return issue(session, user_id=row.user_id, family_id=row.family_id)


def revoke(session: Session, *, token_id: UUID) -> None:
    """End the family that this token belongs to; nothing happens when it is unknown."""
    token = session.get(RefreshToken, token_id)
    if token is not None:
        session.execute(delete(RefreshToken).where(RefreshToken.family_id == token.family_id))


def forget_expired(session: Session) -> int:
    """Delete tokens past their time and return how many."""
    return session.execute(delete(RefreshToken).where(RefreshToken.expires_at < now())).rowcount  # type: ignore[attr-defined,no-any-return]
