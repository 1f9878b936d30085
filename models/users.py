"""Users: the people who have wallets and jobs."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, insert_into, new_id, now
from models.errors import EmailTaken, NotFound, Unauthorized

LONGEST_EMAIL = 254
"""Characters, the longest address that mail can carry (RFC 5321, section 4.5.3.1, less the angle brackets)."""


DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
"""Where dots in an address mean nothing, and the domain it is known by (support.google.com/mail/answer/7436150)."""


class User(Base):
    """One account. `email` is kept in lower case; `verified_at` is when its owner was seen to have it."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(LONGEST_EMAIL), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    verified_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def register(session: Session, *, email: str, password_hash: str) -> User:
    """Create an account. Raises `EmailTaken`.

    Takes the hash, not the password: hashing costs tens of milliseconds and has no place inside a transaction.
    """
    user_id = new_id()
    statement = insert_into(session, User).values(id=user_id, email=email.lower(), password_hash=password_hash)
    created = session.scalar(statement.on_conflict_do_nothing(index_elements=[User.email]).returning(User.id))
    if created is None:
        raise EmailTaken("This address has an account already: log in instead.")
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


def mailbox(email: str) -> str:
    """The mailbox behind an address: without what comes after a plus, and without the dots where they mean nothing."""
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), DOTLESS[domain]
    return f"{local}@{domain}"


def find(session: Session, *, email: str) -> User | None:
    """The account of an address, or None."""
    return session.scalar(select(User).where(User.email == email.lower()))


def hash_password(password: str) -> str:
    """Hash with argon2id at the library's parameters (RFC 9106, low-memory profile)."""
    return PasswordHasher().hash(password)


def verify_password(user: User | None, password: str) -> User:
    """Return the user whose password this is. Raises `Unauthorized`.

    An unknown address costs as much time as a wrong password, and is told with the same words.
    """
    try:
        PasswordHasher().verify(user.password_hash if user else _hash_of_nobody(), password)
    except (VerificationError, InvalidHashError):
        user = None
    if user is None:
        raise Unauthorized("The e-mail address or the password is wrong.")
    return user


@cache
def _hash_of_nobody() -> str:
    return hash_password("the password of nobody at all")
