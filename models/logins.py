"""Log-ins: where a user is signed in, and the refresh tokens that keep each log-in going.

A refresh token is used once and exchanged for the next; the token itself is a signed JWT, and the database keeps only
its id. When one comes back that was exchanged already, somebody has a copy, so the whole log-in ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, delete, exists, insert, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import pages
from models.database import AwareDateTime, Base, new_id, now
from models.errors import NotFound
from models.users import User

LIFETIME_SECONDS = 30 * 24 * 3600
"""How long a refresh token waits to be exchanged, and so how long a log-in lasts that nobody uses."""


class Login(Base):
    """One log-in, on one device. `user_agent` and `address` are what the device said of itself, shown to its owner."""

    __tablename__ = "logins"
    __table_args__ = (
        Index(
            "ix_logins_ended_at", "ended_at",
            postgresql_where=text("ended_at IS NOT NULL"), sqlite_where=text("ended_at IS NOT NULL"),
        ),
        Index("ix_logins_user_id_id", "user_id", "id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    user_agent: Mapped[str | None] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(45))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    last_used_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class RefreshToken(Base):
    """One refresh token; `used_at` is set by the exchange that consumed it."""

    __tablename__ = "refresh_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    login_id: Mapped[UUID] = mapped_column(ForeignKey("logins.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


def begin(
    session: Session, *, user_id: UUID, user_agent: str | None = None, address: str | None = None
) -> tuple[UUID, UUID]:
    """Log a user in, and return the ids of the log-in and of its first refresh token."""
    login_id: UUID = new_id()
    agent, where = (text[:most] if text else None for text, most in ((user_agent, 200), (address, 45)))
    session.execute(insert(Login).values(id=login_id, user_id=user_id, user_agent=agent, address=where))
    return login_id, _issue(session, login_id)


def exchange(session: Session, *, token_id: UUID) -> tuple[UUID, UUID] | None:
    """Consume a refresh token and return its log-in and its successor; None when it is unknown, expired or was used,
    or its user is suspended or closing.

    Of many exchanges of one token at once, one works. A replay ends the log-in: the caller must let the transaction
    commit in that case too. Locks the token, then its log-in.
    """
    login_id = session.scalar(
        update(RefreshToken)
        .where(RefreshToken.id == token_id, RefreshToken.used_at.is_(None), RefreshToken.expires_at > now())
        .values(used_at=now())
        .returning(RefreshToken.login_id)
    )
    if login_id is None:
        end_by_token(session, token_id=token_id)
        return None
    active = exists().where(User.id == Login.user_id, User.suspended_at.is_(None), User.closing_at.is_(None))
    going_on = update(Login).where(Login.id == login_id, Login.ended_at.is_(None), active).values(last_used_at=now())
    if session.scalar(going_on.returning(Login.id).execution_options(synchronize_session=False)) is None:
        return None
    return login_id, _issue(session, login_id)


def end(session: Session, *, user_id: UUID, login_id: UUID) -> None:
    """Log a user out of one log-in. Raises `NotFound` when this user has none of this id; ended ones stay ended."""
    if session.scalar(select(Login.id).where(Login.id == login_id, Login.user_id == user_id)) is None:
        raise NotFound("There is no such session.")
    _end(session, Login.id == login_id)


def end_by_token(session: Session, *, token_id: UUID, everywhere: bool = False) -> None:
    """End the log-in that a refresh token belongs to, or with `everywhere` all of its user's.

    Nothing happens when the token is unknown, or its log-in has ended: who finds an old token ends no later log-in.
    """
    its = select(Login.id, Login.user_id).join(RefreshToken, RefreshToken.login_id == Login.id)
    login = session.execute(its.where(RefreshToken.id == token_id, Login.ended_at.is_(None))).one_or_none()
    if login is not None:
        _end(session, Login.user_id == login.user_id if everywhere else Login.id == login.id)


def end_all(session: Session, *, user_id: UUID, but: UUID | None = None) -> None:
    """Log a user out everywhere, `but` for one log-in if given."""
    _end(session, Login.user_id == user_id, *([Login.id != but] if but else []))


def going_on(
    session: Session, *, user_id: UUID, limit: int, after: UUID | None = None
) -> tuple[Sequence[Login], UUID | None]:
    """Where the user is logged in, newest first, from just after `after`; with the id to go on, None at the end."""
    mine, on = (Login.user_id, user_id), [Login.ended_at.is_(None), Login.last_used_at > now(-LIFETIME_SECONDS)]
    return pages.newest(session, select(Login), Login.id, owner=mine, filters=on, limit=limit, after=after)


def ended_within(session: Session, *, seconds: float) -> set[UUID]:
    """The log-ins that were ended in the last so many seconds."""
    return set(session.scalars(select(Login.id).where(Login.ended_at > now(-seconds))))


def forget_expired(session: Session, *, limit: int) -> int:
    """Delete up to `limit` refresh tokens past their time with the log-ins that have none left, and as many log-ins
    that ended so long ago that no token can be left. Returns how many of either are gone, the more of both.

    Others skip the rows meanwhile. A log-in is found by its last token or by its end, which have an index each; its
    last use has none, as it would be brought up to date with every exchange.
    """
    past = (
        select(RefreshToken.id)
        .where(RefreshToken.expires_at < now())
        .order_by(RefreshToken.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("past")
    )
    gone = delete(RefreshToken).where(RefreshToken.id.in_(select(past.c.id))).returning(RefreshToken.login_id)
    login_ids = session.scalars(gone.execution_options(synchronize_session=False)).all()
    over = select(Login.id).where(Login.ended_at < now(-LIFETIME_SECONDS)).order_by(Login.ended_at).limit(limit)
    ended_ids = session.scalars(over.with_for_update(skip_locked=True)).all()
    empty = ~select(RefreshToken.id).where(RefreshToken.login_id == Login.id).exists()
    unused = Login.id.in_({*login_ids, *ended_ids}), Login.last_used_at < now(-LIFETIME_SECONDS), empty
    ended = session.execute(delete(Login).where(*unused).execution_options(synchronize_session=False)).rowcount  # type: ignore[attr-defined]
    return max(len(login_ids), int(ended))


def erase(session: Session, *, user_id: UUID) -> None:
    """Forget where a user was logged in. That they were, and no longer are, is kept until `forget_expired`: an access
    token may still be about, and must go on to be refused."""
    mine = select(Login.id).where(Login.user_id == user_id)
    session.execute(delete(RefreshToken).where(RefreshToken.login_id.in_(mine)))
    erased = update(Login).where(Login.user_id == user_id).values(user_agent=None, address=None)
    session.execute(erased.execution_options(synchronize_session=False))


def _issue(session: Session, login_id: UUID) -> UUID:
    token_id: UUID = new_id()
    session.execute(insert(RefreshToken).values(id=token_id, login_id=login_id, expires_at=now(LIFETIME_SECONDS)))
    return token_id


def _end(session: Session, *which: object) -> None:
    ending = update(Login).where(Login.ended_at.is_(None), *which).values(ended_at=now())  # type: ignore[arg-type]
    session.execute(ending.execution_options(synchronize_session=False))
