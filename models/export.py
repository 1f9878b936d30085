"""Export: everything that is known about one user, table by table, in pages; so it is as long as it is, and never all
in memory.

A section is the rows of one table that are the user's, but for columns that are secrets or inner workings. A test
holds this list against all tables there are: one that refers to users is here, or in `NOTHING_OF_THEIRS` with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import administration
from models.api_keys import ApiKey
from models.audit_log import AuditEntry
from models.catalog import PlanVersion
from models.database import is_postgresql
from models.emails import Email
from models.jobs import Job
from models.ledger import Clawback, Lot, Transfer, Wallet
from models.logins import Login
from models.notices import Notice
from models.one_time_tokens import OneTimeToken
from models.payments.billing import BilledSubscription
from models.payments.tables import Checkout, Customer, Dispute, Invoice, Payment, Refund
from models.payments.top_ups import TopUp
from models.places import Place
from models.plans import Subscription
from models.promotions import Redemption
from models.rates import RateWindow
from models.referrals import Referral, ReferralCode
from models.saved_replies import SavedReply
from models.spends import Spend
from models.uploads import Upload
from models.users import User

PAGE = 500

Row = dict[str, Any]
Owners = Callable[[Session, UUID], Sequence[Any]]


def _user(session: Session, user_id: UUID) -> Sequence[UUID]:
    return [user_id]


def _wallets(session: Session, user_id: UUID) -> Sequence[int]:
    return session.scalars(select(Wallet.id).where(Wallet.user_id == user_id).order_by(Wallet.id)).all()


def _payments(session: Session, user_id: UUID) -> Sequence[UUID]:
    return session.scalars(select(Payment.id).where(Payment.user_id == user_id).order_by(Payment.id)).all()


def _targets(session: Session, user_id: UUID) -> Sequence[str]:
    return [administration.target(user_id)]


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of a table where the column `owner` is one of `owners`, in the order of their keys, without the columns
    `left_out`, and with what `added` works out."""

    name: str
    owner: InstrumentedAttribute[Any]
    left_out: frozenset[str] = frozenset()
    owners: Owners = _user
    added: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        table = self.owner.class_.__table__
        assert isinstance(table, Table)  # noqa: S101  # for the types: it can be nothing else
        return table

    @property
    def shown(self) -> dict[str, ColumnElement[Any]]:
        columns = {column.name: column for column in self.table.columns if column.name not in self.left_out}
        return {**columns, **self.added}

    @property
    def keys(self) -> list[ColumnElement[Any]]:
        """What tells the rows of one owner apart."""
        return [column for column in self.table.primary_key if column.name != self.owner.key]


def _but(*columns: str) -> frozenset[str]:
    return frozenset(columns)


SECTIONS = (
    Section("profile", User.id, _but("password_hash")),
    Section("sessions", Login.user_id, _but("user_id")),
    Section("api_keys", ApiKey.user_id, _but("user_id", "key_hash")),
    Section("wallets", Wallet.user_id, _but("user_id")),
    Section("lots", Lot.wallet_id, owners=_wallets),
    Section("transfers", Transfer.wallet_id, owners=_wallets),
    Section("clawbacks", Clawback.wallet_id, owners=_wallets),
    Section(
        "jobs",
        Job.user_id,
        _but(
            "user_id",
            "request_digest",
            "lease_token",
            "lease_until",
            "waits_for",
            "put_back_at",
            "at_provider",
            "version",
        ),
    ),
    Section("spends", Spend.user_id, _but("user_id", "request_digest")),
    Section("saved_replies", SavedReply.user_id, _but("user_id")),
    Section("uploads", Upload.user_id, _but("user_id", "key")),
    Section(
        "subscriptions",
        Subscription.user_id,
        _but("user_id", "plan_version_id"),
        added={
            "plan": select(PlanVersion.plan).where(PlanVersion.id == Subscription.plan_version_id).scalar_subquery()
        },
    ),
    Section("checkouts", Checkout.user_id, _but("user_id", "client_secret", "request_hash")),
    Section("payments", Payment.user_id, _but("user_id")),
    Section("invoices", Invoice.user_id, _but("user_id")),
    Section("refunds", Refund.payment_id, owners=_payments),
    Section("disputes", Dispute.payment_id, owners=_payments),
    Section("billed_subscriptions", BilledSubscription.user_id, _but("user_id", "plan_version_id", "subscription_id")),
    Section("top_up", TopUp.user_id, _but("user_id")),
    Section("customer", Customer.user_id, _but("user_id")),
    Section("redemptions", Redemption.user_id, _but("user_id")),
    Section("referral_code", ReferralCode.user_id, _but("user_id")),
    # Who the others are is theirs to know.
    Section("brought", Referral.referrer_id, _but("referrer_id", "referred_id")),
    Section("brought_by_somebody", Referral.referred_id, _but("referrer_id", "referred_id")),
    Section("places", Place.user_id, _but("user_id")),
    Section("counts", RateWindow.user_id, _but("user_id")),
    Section("notices", Notice.user_id, _but("user_id")),
    Section("emails", Email.user_id, _but("user_id", "key", "due_at")),
    Section("links", OneTimeToken.user_id, _but("user_id", "token_hash")),
    Section(
        "decisions", AuditEntry.target, _but("actor", "actor_id", "request_id", "target", "reason"), owners=_targets
    ),
)

NOTHING_OF_THEIRS: Mapping[str, str] = {
    "attempts": "how each run of a job went and what it cost the house; what came of the job is among the jobs",
    "errands": "what was asked of the payment service for the user, whose outcome is among the rest",
    "payment_lots": "which lots a payment made, both of which are there",
    "job_slots": "how many of the jobs are unfinished",
    "refresh_tokens": "the chain of tokens behind each session: ids and times",
    "low_balances": "that a wallet was told to be low, which is among the notices",
}
"""Tables that refer to users or to what is theirs and say nothing beyond the sections, and what they are for."""


def pages(session_of: Callable[[], Any], user_id: UUID, section: Section) -> Iterator[list[Row]]:
    """The rows of a section, page by page, each read on a session of its own: none is held while a page is on its way.

    A section without rows has no page.
    """
    with session_of() as session:
        owners = section.owners(session, user_id)
    for owner in owners:
        last: tuple[Any, ...] | None = None
        while True:
            with session_of() as session:
                found, last = _page(session, section, owner, last)
            if found:
                yield found
            if last is None:
                break


def _page(
    session: Session, section: Section, owner: Any, after: tuple[Any, ...] | None
) -> tuple[list[Row], tuple[Any, ...] | None]:
    shown, keys = section.shown, section.keys
    rows = session.execute(
        select(*(column.label(name) for name, column in shown.items()), *keys)
        .where(*_place(session, section, owner, after))
        .order_by(section.owner, *keys)
        .limit(PAGE)
    ).all()
    found = [dict(zip(shown, row, strict=False)) for row in rows]
    return found, tuple(rows[-1][len(shown) :]) if len(rows) == PAGE else None


def _place(session: Session, section: Section, owner: Any, after: tuple[Any, ...] | None) -> list[ColumnElement[bool]]:
    column: ColumnElement[Any] = section.table.c[section.owner.key]
    if after is None:
        return [column == owner]
    if not is_postgresql(session):
        return [column == owner, tuple_(*section.keys) > after]
    # With an equal sign PostgreSQL may walk a table by its primary key instead, past the rows of everybody else.
    return [tuple_(column, *section.keys) > (owner, *after), column <= owner]
