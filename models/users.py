"""Users: the people who have wallets and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import CheckConstraint, Index, String, insert, select, text, true, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, new_id, now, words
from models.errors import NotFound, Unauthorized

LONGEST_EMAIL = 254
"""Characters, the longest address that mail can carry (RFC 5321, section 4.5.3.1, less the angle brackets)."""


class Role(StrEnum):
    """What a user may do in the name of the house: nothing, look at everything, or change it."""

    user = "user"
    support = "support"
    admin = "admin"


class User(Base):
    """One account. `email` is kept in lower case; `verified_at` is when its owner was seen to have it.

    An address belongs to the account that verified it, so one account at most has it verified; others may have named
    it. A closed account has no address, password or name any more: its id is what the ledger knows it by.
    `notices_by_mail` says whether its owner wants mail about what a notice tells too, such as a low balance.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_email", "email"),
        Index(
            "uq_users_email_verified", "email", unique=True,
            postgresql_where=text("verified_at IS NOT NULL"), sqlite_where=text("verified_at IS NOT NULL"),
        ),
        CheckConstraint("closed_at IS NOT NULL OR (email IS NOT NULL AND password_hash IS NOT NULL)", name="reachable"),
        CheckConstraint("closed_at IS NULL OR COALESCE(email, password_hash, name) IS NULL", name="erased"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(String(LONGEST_EMAIL))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    name: Mapped[str | None] = mapped_column(String(100))
    notices_by_mail: Mapped[bool] = mapped_column(server_default=true())
    role: Mapped[Role] = mapped_column(words(Role, "role"), server_default=Role.user)
    verified_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    suspended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    closing_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def register(session: Session, *, email: str, password_hash: str) -> User:
    """Create an account for whoever named this address; whether it is theirs is seen when they verify it.

    Takes the hash, not the password: hashing costs tens of milliseconds and has no place inside a transaction.
    """
    user_id = new_id()
    session.execute(insert(User).values(id=user_id, email=email.lower(), password_hash=password_hash))
    return session.get_one(User, user_id)


def get(session: Session, user_id: UUID) -> User:
    """The user of a token. Raises `NotFound` when the account is gone."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("This account does not exist any more.")
    return user


def lock(session: Session, user_id: UUID) -> None:
    """Wait for whoever else changes what this user has. Raises `NotFound` when the account is gone."""
    if session.scalar(select(User.id).where(User.id == user_id).with_for_update(key_share=True)) is None:
        raise NotFound("This account does not exist any more.")


def verify(session: Session, user_id: UUID) -> bool:
    """Note that the user's address is theirs, and say whether that is new."""
    verified = update(User).where(User.id == user_id, User.verified_at.is_(None)).values(verified_at=now())
    return session.scalar(verified.returning(User.id).execution_options(synchronize_session=False)) is not None


def named(session: Session, *, email: str) -> Sequence[User]:
    """Who can log in with this address: the account that has it verified, and the newest that only named it."""
    mine = select(User).where(User.email == email.lower())
    verified = session.scalars(mine.where(User.verified_at.is_not(None))).all()
    claiming = session.scalars(mine.where(User.verified_at.is_(None)).order_by(User.id.desc()).limit(1)).all()
    return [*verified, *claiming]


def find(session: Session, *, email: str) -> User | None:
    """The account of an address: the one that has it verified, or else the newest that named it. None without one."""
    return next(iter(named(session, email=email)), None)


def hash_password(password: str) -> str:
    """Hash with argon2id at the library's parameters (RFC 9106, low-memory profile)."""
    return PasswordHasher().hash(password)


MOST_CANDIDATES = 2
"""How many accounts `named` returns at most."""


def with_password(candidates: Sequence[User], password: str) -> User:
    """Return the candidate whose password this is. Raises `Unauthorized`.

    However many there are, it takes as many hashes, and an unknown address is told with the words of a wrong password.
    """
    hashes = [user.password_hash or _hash_of_nobody() for user in candidates]
    hashes += [_hash_of_nobody()] * (MOST_CANDIDATES - len(hashes))
    right = [_is_right(each, password) for each in hashes]
    for user, is_right in zip(candidates, right, strict=False):
        if is_right and user.password_hash:
            return user
    raise Unauthorized("The e-mail address or the password is wrong.")


def _is_right(password_hash: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hash_of_nobody() -> str:
    return hash_password("the password of nobody at all")
