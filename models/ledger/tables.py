"""The ledger's tables: wallets, lots, transfers, clawbacks.

Only `models/ledger/` writes to them. `transfers` is the truth and is append-only (triggers in the migrations refuse
update and delete); `wallets` and `lots` cache its sums, and `models/ledger/audit.py` proves that they agree.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, Json, now, words

MOST_CREDITS = 2**53 - 1
"""The most credits anywhere: the largest integer that every JSON reader holds exactly (RFC 8259, section 6)."""


ZERO = text("0")


class Account(StrEnum):
    """Where credits of a lot can be: each is in exactly one of these; `issued` is where all come from."""

    issued = "issued"
    available = "available"
    held = "held"
    spent = "spent"
    expired = "expired"
    clawed_back = "clawed_back"


class Reason(StrEnum):
    """Why credits moved."""

    grant = "grant"
    hold = "hold"
    settle = "settle"
    release = "release"
    spend = "spend"
    expire = "expire"
    clawback = "clawback"
    restore = "restore"


class Source(StrEnum):
    """Where a lot came from."""

    signup = "signup"
    purchase = "purchase"
    plan = "plan"
    daily = "daily"
    weekly = "weekly"
    promo = "promo"
    referral = "referral"
    admin = "admin"


class Wallet(Base):
    """One user's credits of one kind.

    `available` and `held` are the sums of the same columns of its lots. `debt` is what refunds and lost disputes took
    back but could not find; while it is above zero nothing new can be held or spent. `reset_at` is when the next
    allowance comes, if any. `due_at` is when something next falls due on this wallet, an expiry or a reset; a verb
    that touches the wallet after that does what is due first.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        UniqueConstraint("user_id", "kind"),
        CheckConstraint("available >= 0", name="available_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("debt >= 0", name="debt_not_negative"),
        # Whatever is looked for by `due_at` finds a reset as well.
        CheckConstraint("reset_at IS NULL OR (due_at IS NOT NULL AND due_at <= reset_at)", name="reset_is_due"),
        Index(
            "ix_wallets_due_at",
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
            sqlite_where=text("due_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(String(50))
    available: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    held: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    debt: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    reset_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    due_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


LASTING = "usable AND expires_at IS NOT NULL AND source <> 'daily' AND source <> 'weekly'"
"""Lots with credits left that expire some day, but for those of a day or a week, which come and go by design. A query
that says so in these words can use the index that does."""


class Lot(Base):
    """Credits granted together, with one source and one expiry. `ref` names the business fact that granted them.

    `usable` says that some are available. The index of usable lots is by this column, because PostgreSQL can update a
    row in place only while no column that an index looks at changes, and `available` changes all the time.
    """

    __tablename__ = "lots"
    __table_args__ = (
        UniqueConstraint("ref"),
        CheckConstraint("available + held + spent + expired + clawed_back = issued", name="conserved"),
        CheckConstraint(
            "issued > 0 AND available >= 0 AND held >= 0 AND spent >= 0 AND expired >= 0 AND clawed_back >= 0",
            name="not_negative",
        ),
        # Used-up lots stay for the record; only the others are ever searched.
        Index("ix_lots_wallet_id_usable", "wallet_id", postgresql_where=text("usable"), sqlite_where=text("usable")),
        Index("ix_lots_wallet_id", "wallet_id"),
        Index("ix_lots_expires_at_id", "expires_at", "id", postgresql_where=text(LASTING), sqlite_where=text(LASTING)),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"))
    source: Mapped[Source] = mapped_column(words(Source, "source"))
    ref: Mapped[str] = mapped_column(String(200))
    issued: Mapped[int] = mapped_column(BigId)
    available: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    held: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    spent: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    expired: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    clawed_back: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    usable: Mapped[bool] = mapped_column(Computed("available > 0", persisted=True))
    expires_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class Transfer(Base):
    """`amount` credits of one wallet and lot that went from account `source` to account `target`. Never changed.

    `balance_after` is the wallet's `available` once the transfer was made.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        UniqueConstraint("ref"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("source <> target", name="moves"),
        Index("ix_transfers_wallet_id_id", "wallet_id", "id"),
        Index(
            "ix_transfers_job_id",
            "job_id",
            postgresql_where=text("job_id IS NOT NULL"),
            sqlite_where=text("job_id IS NOT NULL"),
        ),
        Index(
            "ix_transfers_wallet_id_released",
            "wallet_id",
            postgresql_where=text("reason = 'release'"),
            sqlite_where=text("reason = 'release'"),
        ),
        Index(
            "ix_transfers_clawback_id",
            "clawback_id",
            postgresql_where=text("clawback_id IS NOT NULL"),
            sqlite_where=text("clawback_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"))
    lot_id: Mapped[int] = mapped_column(BigId, ForeignKey("lots.id"))
    amount: Mapped[int] = mapped_column(BigId)
    source: Mapped[Account] = mapped_column(words(Account, "source"))
    target: Mapped[Account] = mapped_column(words(Account, "target"))
    reason: Mapped[Reason] = mapped_column(words(Reason, "reason"))
    ref: Mapped[str] = mapped_column(String(250))
    balance_after: Mapped[int] = mapped_column(BigId)
    job_id: Mapped[UUID | None]
    clawback_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("clawbacks.id"))
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class Clawback(Base):
    """Credits taken back from a lot because the money for them went back (a refund, a lost dispute).

    Of `amount`, `taken` was still available and left the lot at once; `debt` had been spent or was held, and `paid` of
    it has been paid since, by later grants and by credits released to the lot. The rest had expired and is let go.
    """

    __tablename__ = "clawbacks"
    __table_args__ = (
        UniqueConstraint("ref"),
        CheckConstraint("amount > 0 AND taken >= 0 AND debt >= 0 AND taken + debt <= amount", name="within_amount"),
        CheckConstraint("paid >= 0 AND paid <= debt", name="paid_within_debt"),
        Index(
            "ix_clawbacks_wallet_id_open",
            "wallet_id",
            postgresql_where=text("paid < debt AND restored_at IS NULL"),
            sqlite_where=text("paid < debt AND restored_at IS NULL"),
        ),
        Index("ix_clawbacks_lot_id", "lot_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"))
    lot_id: Mapped[int] = mapped_column(BigId, ForeignKey("lots.id"))
    ref: Mapped[str] = mapped_column(String(200))
    amount: Mapped[int] = mapped_column(BigId)
    taken: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    debt: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    paid: Mapped[int] = mapped_column(BigId, server_default=ZERO)
    restored_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
