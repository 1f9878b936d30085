"""Users: the people who have wallets and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import CheckConstraint, Index, String, insert, or_, select, text, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, new_id, now, words
from models.errors import AccountSuspended, NotFound, TokenNotGood, Unauthorized, WrongPassword

LONGEST_EMAIL = 254
"""Characters, the longest address that mail can carry (RFC 5321, section 4.5.3.1, less the angle brackets)."""


class Role(StrEnum):
    """What a user may do in the name of the house: nothing, look at everything, or change it."""

    user = "user"
    support = "support"
    admin = "admin"


IS_ADMIN = "role = 'admin'"
CLOSING = "closing_at IS NOT NULL AND closed_at IS NULL"
"""In the words of the indexes that find these."""


class User(Base):
    """One account. `email` is kept in lower case; `verified_at` is when its owner was seen to have it.

    An address belongs to the account that verified it, so one account at most has it verified; others may have named
    it. A closed account has no address, password or name any more: its id is what the ledger knows it by.
    `notices_by_mail` says whether its owner wants mail about what a notice tells too, such as a low balance.
    """

    __tablename__ = "users"
    __table_args__ = (
        # Finds an address by its beginning too, whatever the database sorts by.
        Index("ix_users_email", "email", postgresql_ops={"email": "varchar_pattern_ops"}),
        Index(
            "uq_users_email_verified", "email", unique=True,
            postgresql_where=text("verified_at IS NOT NULL"), sqlite_where=text("verified_at IS NOT NULL"),
        ),
        Index("ix_users_id_admin", "id", postgresql_where=text(IS_ADMIN), sqlite_where=text(IS_ADMIN)),
        Index("ix_users_closing_at", "closing_at", postgresql_where=text(CLOSING), sqlite_where=text(CLOSING)),
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

    @property
    def acts_as_admin(self) -> bool:
        return self.role is Role.admin and self.suspended_at is None and self.closing_at is None


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


def lock_open(session: Session, user_id: UUID) -> None:
    """`lock` an account to which something is to be added. Raises `NotFound` also when it is closing: what comes then
    would be taken away by nobody."""
    if not lock_if_open(session, user_id):
        raise NotFound("This account does not exist any more.")


def lock_if_open(session: Session, user_id: UUID) -> bool:
    """`lock` an account, and say whether it is there and not closing."""
    open_ = select(User.id).where(User.id == user_id, User.closing_at.is_(None)).with_for_update(key_share=True)
    return session.scalar(open_) is not None


def is_open(session: Session, user_id: UUID) -> bool:
    """Whether an account is there and not closing, by now. Locks nothing."""
    return session.scalar(select(User.id).where(User.id == user_id, User.closing_at.is_(None))) is not None


def verify(session: Session, user_id: UUID) -> bool:
    """Note that the user's address is theirs, and say whether that is new.

    Locks the user. Of many accounts that named one address, the first keeps it: the others raise `TokenNotGood`, and
    their transaction must end.
    """
    verified = update(User).where(User.id == user_id, User.verified_at.is_(None)).values(verified_at=now())
    try:
        return session.scalar(verified.returning(User.id).execution_options(synchronize_session=False)) is not None
    except IntegrityError:
        raise _taken() from None


def move(session: Session, user_id: UUID, *, email: str) -> str:
    """Give a user another address, and return the one they had. Locks the user.

    Raises `NotFound` when the account is gone or closing, and `TokenNotGood` when their address is verified and another
    account has this one verified; then their transaction must end.
    """
    open_ = select(User.email).where(User.id == user_id, User.closing_at.is_(None)).with_for_update(key_share=True)
    old = session.scalar(open_)
    if old is None:
        raise NotFound("This account does not exist any more.")
    try:
        moving = update(User).where(User.id == user_id).values(email=email)
        session.execute(moving.execution_options(synchronize_session="fetch"))
    except IntegrityError:
        raise _taken() from None
    return old


def _taken() -> TokenNotGood:
    return TokenNotGood("This address belongs to another account by now: log in to that one.")


def set_password(session: Session, *, user_id: UUID, password_hash: str) -> None:
    """Change a user's password. Locks the user. Log-ins and links go on; see `models/passwords.py` for all it takes."""
    changing = update(User).where(User.id == user_id, User.closing_at.is_(None)).values(password_hash=password_hash)
    session.execute(changing.execution_options(synchronize_session=False))


def named(session: Session, *, email: str) -> Sequence[User]:
    """Who can log in with this address: the account that has it verified, and the newest that only named it.

    Accounts that are being closed are nobody's any more. Two statements, whoever there is.
    """
    mine = select(User).where(User.email == email.lower(), User.closing_at.is_(None))
    verified = session.scalars(mine.where(User.verified_at.is_not(None))).all()
    claiming = session.scalars(mine.where(User.verified_at.is_(None)).order_by(User.id.desc()).limit(1)).all()
    return [*verified, *claiming]


def find(session: Session, *, email: str) -> User | None:
    """The account of an address: the one that has it verified, or else the newest that named it. None without one."""
    return next(iter(named(session, email=email)), None)


def describe(session: Session, user_id: UUID, **changes: Any) -> User:
    """Change what users say of themselves, `name` and `notices_by_mail`; no name is None. Locks the user."""
    query = select(User).where(User.id == user_id, User.closed_at.is_(None)).with_for_update(key_share=True)
    user = session.scalar(query.execution_options(populate_existing=True))
    if user is None:
        raise NotFound("This account does not exist any more.")
    for column, value in changes.items():
        setattr(user, column, value)
    session.flush()
    return user


def among_admins(session: Session, user_id: UUID) -> tuple[User, int]:
    """A user as they are now, and how many others are admins who can act. Locks the user and all admins, in the order
    of their ids, so that of two who remove each other one is refused. Raises `NotFound` when the account is gone.
    """
    rows = session.scalars(
        select(User)
        .where(or_(User.id == user_id, text(IS_ADMIN)))
        .order_by(User.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    mine = [user for user in rows if user.id == user_id and user.closed_at is None]
    if not mine:
        raise NotFound("This account does not exist any more.")
    return mine[0], sum(user.acts_as_admin for user in rows if user.id != user_id)


def give_role(session: Session, user: User, role: Role) -> None:
    """Let a user, locked by `among_admins`, have a role from now on."""
    user.role = role
    session.flush()


def suspend(session: Session, user: User, *, suspended: bool) -> None:
    """Keep a user, locked by `among_admins`, from calling, or let them again. Ending their log-ins is the caller's."""
    session.execute(
        update(User)
        .where(User.id == user.id)
        .values(suspended_at=now() if suspended else None)
        .execution_options(synchronize_session=False)
    )
    session.refresh(user)


def role_of(session: Session, user_id: UUID) -> Role:
    """What a user may do in the name of the house now: nothing, for those who are suspended, closing or gone."""
    able = select(User.role).where(User.id == user_id, User.suspended_at.is_(None), User.closing_at.is_(None))
    return session.scalar(able) or Role.user


def begin_closing(session: Session, user: User) -> None:
    """Let a user, locked by `among_admins`, go: nobody logs in with this account from now on."""
    closing = update(User).where(User.id == user.id, User.closing_at.is_(None)).values(closing_at=now())
    session.execute(closing.execution_options(synchronize_session=False))


def to_close(session: Session, *, seconds: float, limit: int) -> Sequence[UUID]:
    """Up to `limit` users whose account has been closing for so many seconds. Locks nothing."""
    due = select(User.id).where(text(CLOSING), User.closing_at <= now(-seconds))
    return session.scalars(due.order_by(User.closing_at).limit(limit)).all()


def erase(session: Session, user_id: UUID) -> str | None:
    """Forget who a closing user was; only the id is left. Returns the address they had, None when that is done.

    Locks the user.
    """
    going = select(User.email).where(User.id == user_id, User.closing_at.is_not(None), User.closed_at.is_(None))
    address = session.scalar(going.with_for_update(key_share=True))
    if address is not None:
        gone = update(User).where(User.id == user_id)
        session.execute(
            gone.values(email=None, password_hash=None, name=None, closed_at=now()).execution_options(
                synchronize_session=False
            )
        )
    return address


def hash_password(password: str) -> str:
    """Hash with argon2id at the library's parameters (RFC 9106, low-memory profile)."""
    return PasswordHasher().hash(password)


MOST_CANDIDATES = 2
"""How many accounts `named` returns at most."""


def with_password(candidates: Sequence[User], password: str) -> User:
    """Return the candidate whose password this is. Raises `Unauthorized`.

    However many there are, it takes as many hashes, and an unknown address is told with the words of a wrong password.
    """
    nobody = _hash_of_nobody()
    hashes = [user.password_hash or nobody for user in candidates]
    hashes += [nobody] * (MOST_CANDIDATES - len(hashes))
    right = [_is_right(each, password) for each in hashes]
    for user, is_right in zip(candidates, right, strict=False):
        if is_right and user.password_hash:
            return user
    raise _wrong()


def admit(session: Session, user: User) -> None:
    """Let in a user whose password was right a moment ago: locks the account until the transaction ends.

    So whoever changes the password or suspends the account and then ends its log-ins finds this one too. Raises
    `AccountSuspended`, and `Unauthorized` when the password is another by now or the account is being closed.
    """
    query = select(User.password_hash, User.suspended_at).where(User.id == user.id, User.closing_at.is_(None))
    row = session.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None or row.password_hash != user.password_hash:
        raise _wrong()
    if row.suspended_at is not None:
        raise AccountSuspended("This account is suspended. Ask those who run this service why.")


def check_password(user: User, password: str) -> None:
    """See that this is the password of a user who is logged in. One hash. Raises `WrongPassword`."""
    if not _is_right(user.password_hash or _hash_of_nobody(), password):
        raise WrongPassword("This is not your current password.")


def _wrong() -> Unauthorized:
    return Unauthorized("The e-mail address or the password is wrong.")


def _is_right(password_hash: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hash_of_nobody() -> str:
    return hash_password("the password of nobody at all")
