"""One-time tokens: what a link in an e-mail carries to prove that its reader has the mailbox.

The token is not kept: it is worked out from its row's id and `SECRET_KEY`, so that a second attempt to send a mail has
the same link, and a copy of the database opens nothing. The row keeps its SHA-256. Each works once, until its time.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKey, String, delete, exists, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from config import settings
from models import retention, users
from models.database import AwareDateTime, Base, new_id, now, words
from models.errors import TokenNotGood
from models.users import LONGEST_EMAIL, User


class Purpose(StrEnum):
    """What a token is good for."""

    verify_email = "verify_email"
    reset_password = "reset_password"  # noqa: S105  # a word, no password
    change_email = "change_email"


class Condition(StrEnum):
    """What a token is good for: `used` also when a later one was, `not_good` when it ran out or never was."""

    good = "good"
    used = "used"
    not_good = "not_good"


LIFETIME_SECONDS = {
    Purpose.verify_email: 3 * 24 * 3600,
    Purpose.reset_password: 3600,
    Purpose.change_email: 24 * 3600,
}
"""How long each may wait for its reader; a reset for least, as it opens most."""


class OneTimeToken(Base):
    """One token, for one user and the address it was sent to; `used_at` is set by the use that worked."""

    __tablename__ = "one_time_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    purpose: Mapped[Purpose] = mapped_column(words(Purpose, "purpose"))
    email: Mapped[str] = mapped_column(String(LONGEST_EMAIL))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    expires_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


def issue(session: Session, *, user_id: UUID, purpose: Purpose, email: str, token_id: UUID | None = None) -> str:
    """Make a token for the reader of `email`'s mailbox and return it. Only an e-mail may show it to anybody.

    With the `token_id` of one that is there already, that one is returned: a mail sent twice has one link.
    """
    token_id = token_id or new_id()
    token = _token(token_id, purpose)
    if session.get(OneTimeToken, token_id) is None:
        session.execute(
            insert(OneTimeToken).values(
                id=token_id, user_id=user_id, purpose=purpose, email=email.lower(), token_hash=_hash(token),
                expires_at=now(LIFETIME_SECONDS[purpose]),
            )
        )  # fmt: skip
    return token


def condition(session: Session, token: str, *, purpose: Purpose) -> Condition:
    """What a token is good for now, for a page that asks before it is used. Locks nothing."""
    its = select(OneTimeToken.used_at).where(*_is(token, purpose), OneTimeToken.expires_at > now())
    found = session.execute(its).one_or_none()
    if found is None:
        return Condition.not_good
    return Condition.good if found.used_at is None else Condition.used


def use(session: Session, token: str, *, purpose: Purpose) -> OneTimeToken:
    """Use a token up and return its row: of many uses at once, one works. Raises `TokenNotGood`.

    Also when its user has another address by now than the mailbox it was sent to; a change of address excepted. Locks
    the user, then the token. The other tokens of its user for the same purpose end with it.
    """
    user_id = session.scalar(select(OneTimeToken.user_id).where(*_is(token, purpose)))
    if user_id is not None:
        users.lock(session, user_id)
    owned = exists().where(User.id == OneTimeToken.user_id, User.closing_at.is_(None))
    if purpose is not Purpose.change_email:
        owned = owned.where(User.email == OneTimeToken.email)
    used = session.execute(
        update(OneTimeToken)
        .where(*_is(token, purpose), OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > now(), owned)
        .values(used_at=now())
        .returning(OneTimeToken)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if used is None:
        raise TokenNotGood("This link is not good any more: it was used, or its time is over. Ask for a new one.")
    end_all(session, user_id=used.user_id, purpose=purpose)
    return used


def end_all(session: Session, *, user_id: UUID, purpose: Purpose | None = None) -> None:
    """End a user's unused tokens, of one purpose or all."""
    ending = update(OneTimeToken).where(OneTimeToken.user_id == user_id, OneTimeToken.used_at.is_(None))
    if purpose is not None:
        ending = ending.where(OneTimeToken.purpose == purpose)
    session.execute(ending.values(used_at=now()).execution_options(synchronize_session=False))


def forget_expired(session: Session, *, limit: int) -> int:
    """Delete up to `limit` tokens past their time and return how many. Others skip the rows meanwhile."""
    past = OneTimeToken.expires_at < now()
    return retention.delete_first(session, OneTimeToken.id, past, order=[OneTimeToken.expires_at], limit=limit)


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete all of a user's tokens."""
    session.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user_id))


def _is(token: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return OneTimeToken.token_hash == _hash(token), OneTimeToken.purpose == purpose


def _token(token_id: UUID, purpose: Purpose) -> str:
    key = settings().secret_key.get_secret_value().encode()
    return urlsafe_b64encode(hmac.digest(key, f"one-time:{purpose}:{token_id}".encode(), "sha256")).decode().rstrip("=")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
