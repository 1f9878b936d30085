"""Mailboxes: which ones were given the credits of sign-up, so that one mailbox is given them once.

Only keyed hashes are kept: they outlast the account, and tell nobody whose mailbox it was.
"""

from __future__ import annotations

import hmac
from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from config import settings
from models.database import AwareDateTime, Base, insert_into, now

DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
"""Where dots in an address mean nothing, and the domain it is known by (support.google.com/mail/answer/7436150)."""


class Mailbox(Base):
    """A mailbox that was given credits, and the spelling of its address that got them."""

    __tablename__ = "mailboxes"

    mailbox_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    address_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def mailbox(email: str) -> str:
    """The mailbox behind an address: without what comes after a plus, and without the dots where they mean nothing."""
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), DOTLESS[domain]
    return f"{local}@{domain}"


def claim(session: Session, email: str) -> bool:
    """Note that the mailbox of `email` is given its credits now, and say whether it is the first time.

    Of two at once, one is first.
    """
    row = {"mailbox_hash": _hash(mailbox(email)), "address_hash": _hash(email.lower())}
    statement = insert_into(session, Mailbox).values(row)
    claimed = statement.on_conflict_do_nothing(index_elements=[Mailbox.mailbox_hash]).returning(Mailbox.mailbox_hash)
    return session.scalar(claimed) is not None


def spelled_alike(session: Session, email: str) -> bool:
    """Whether the mailbox of `email` was claimed by this very spelling of its address."""
    claimed = select(Mailbox.address_hash).where(Mailbox.mailbox_hash == _hash(mailbox(email)))
    return session.scalar(claimed) == _hash(email.lower())


def _hash(text: str) -> str:
    return hmac.digest(settings().secret_key.get_secret_value().encode(), f"mailbox:{text}".encode(), "sha256").hex()
