"""Transactions: a user's statement, read off the transfers that change what the user can use.

A settlement only says what became of credits that had left before, so it is none. The amounts of the others, with
their signs, add up to the balance of each wallet. Reading only; `models/ledger/` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, tuple_
from sqlalchemy.orm import Session

from models import ledger
from models.database import OUT_OF_ORDER, is_postgresql
from models.jobs import Job
from models.kinds import SPEND
from models.ledger import Lot, Reason, Source, Transfer

MOST_LOOKED_AT = 10_000
"""Transfers of one wallet that one page looks through, so that a filter which fits nothing costs no more than that."""

HIGHEST_ID = 2**63 - 1


class Type(StrEnum):
    """What a transaction is for its user."""

    credit = "credit"
    debit = "debit"
    refund = "refund"
    purchase = "purchase"
    expiry = "expiry"
    clawback = "clawback"


TYPES = {
    Reason.grant: Type.credit,
    Reason.restore: Type.credit,
    Reason.hold: Type.debit,
    Reason.spend: Type.debit,
    Reason.release: Type.refund,
    Reason.expire: Type.expiry,
    Reason.clawback: Type.clawback,
}
"""The type by reason; a grant of bought credits is a purchase instead."""

CREDITED = (Reason.grant, Reason.restore, Reason.release)
"""Why a balance grows; for the other reasons it shrinks."""

GRANTED = {
    Source.signup: "Sign-up credits",
    Source.purchase: "Bought credits",
    Source.plan: "Allowance",
    Source.daily: "Daily allowance",
    Source.weekly: "Weekly allowance",
    Source.promo: "Promotional credits",
    Source.referral: "Referral credits",
    Source.admin: "Adjustment",
}
"""What a grant is called that has no title of its own."""

CALLED = {
    Reason.hold: "Job",
    Reason.release: "Job",
    Reason.spend: "Charge",
    Reason.expire: "Expired",
    Reason.clawback: "Taken back with a refund of money",
    Reason.restore: "Given back with the money for it",
}
PAYS_DEBT = "Pays for credits that were taken back after they were spent"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One change of what a user can use of one wallet: `amount` credits, below zero when they left.

    `source` is where the lot came from that they went into or out of. `kind` is the kind of the job, or `spend`.
    """

    id: int
    created_at: datetime
    wallet: str
    type: Type
    amount: int
    balance_after: int
    action: str | None
    kind: str | None
    description: str
    reason: Reason
    source: Source
    job_id: UUID | None
    spend_id: UUID | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which transactions are asked for; None is all. `since` is included, `until` is not."""

    wallet: str | None = None
    type: Type | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    job_id: UUID | None = None


def page(
    session: Session, *, user_id: UUID, limit: int, after: int | None = None, wanted: Wanted | None = None
) -> tuple[list[Transaction], int | None]:
    """The user's transactions, newest first, from just after `after`; with the id to go on from, None at the end.

    A page can be shorter than `limit`, or empty, before the end: where the filters let little through, looking goes on
    with the next page. Each wallet is read by its index from where the last page ended, so a page costs the same
    however long the history is. Locks nothing.
    """
    wanted = wanted or Wanted()
    found: list[Transaction] = []
    # Down to here every wallet has been looked through; what one of them has further down must wait for the others.
    seen_down_to = 0
    for kind, wallet_id in ledger.wallet_ids(session, user_id=user_id).items():
        if wanted.wallet in (None, kind):
            transactions, down_to = _of_wallet(session, wallet_id, kind, wanted, limit, after)
            found += transactions
            seen_down_to = max(seen_down_to, down_to)
    shown = sorted((each for each in found if each.id >= seen_down_to), key=lambda each: each.id, reverse=True)
    if len(shown) > limit:
        return shown[:limit], shown[limit - 1].id
    return shown, seen_down_to or None


def _of_wallet(
    session: Session, wallet_id: int, kind: str, wanted: Wanted, limit: int, after: int | None
) -> tuple[list[Transaction], int]:
    """Up to `limit` + 1 transactions of one wallet, and down to which id it was looked through; 0 is to the end."""
    below = HIGHEST_ID if after is None else after
    order = Transfer.wallet_id.desc(), Transfer.id.desc()
    if wanted.job_id:
        # A job has a few transfers, and its index finds them wherever they are; the sum keeps that of the wallet out.
        down_to = 0
        place = [Transfer.job_id == wanted.job_id, Transfer.wallet_id + 0 == wallet_id, Transfer.id < below]
    else:
        last = select(Transfer.id).where(*_between(session, wallet_id, 0, below)).order_by(*order)
        down_to = session.scalar(last.offset(MOST_LOOKED_AT - 1).limit(1)) or 0
        place = _between(session, wallet_id, down_to, below)
    rows = session.execute(
        select(Transfer, Lot.source, Job.action, Job.kind, Job.breakdown)
        .join(Lot, Lot.id == Transfer.lot_id)
        .outerjoin(Job, Job.id == Transfer.job_id)
        .where(*place, Transfer.reason != Reason.settle, *_conditions(wanted))
        .order_by(*order)
        .limit(limit + 1)
    ).all()
    found = [_transaction(kind, *row) for row in rows]
    if len(found) > limit:
        return found, found[-1].id
    if down_to and wanted.since is not None and _is_past(session, down_to, wanted.since):
        return found, 0
    return found, down_to


def _between(session: Session, wallet_id: int, least: int, below: int) -> list[ColumnElement[bool]]:
    """The transfers of a wallet from the id `least` to before `below`, found by the index of both."""
    if not is_postgresql(session):
        return [Transfer.wallet_id == wallet_id, Transfer.id >= least, Transfer.id < below]
    # With an equal sign PostgreSQL may walk all transfers by their id instead, which looks cheap to it for a wallet
    # with many and is not when they are long ago. SQLite never does, and of such pairs it would use only one end.
    place = tuple_(Transfer.wallet_id, Transfer.id)
    return [place >= (wallet_id, least), place < (wallet_id, below)]


def _is_past(session: Session, transfer_id: int, since: datetime) -> bool:
    """Whether nothing further down than this transfer can be as late as `since`."""
    made = session.execute(select(Transfer.created_at).where(Transfer.id == transfer_id)).scalar_one()
    return made < since - OUT_OF_ORDER


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(Transfer.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(Transfer.created_at < wanted.until)
    if wanted.action is not None:
        charged = and_(Transfer.reason == Reason.spend, Transfer.details["action"].as_string() == wanted.action)
        conditions.append(or_(Job.action == wanted.action, charged))
    if wanted.type is not None:
        bought = and_(Transfer.reason == Reason.grant, Lot.source == Source.purchase)
        reasons = [reason for reason, type_ in TYPES.items() if type_ is wanted.type]
        conditions.append(bought if wanted.type is Type.purchase else and_(Transfer.reason.in_(reasons), ~bought))
    return conditions


def _transaction(
    wallet: str, moved: Transfer, source: Source, action: str | None, kind: str | None, breakdown: Any
) -> Transaction:
    details = dict(moved.details or {})
    title = details.pop("title", None)
    if moved.reason is Reason.spend:
        action, kind = details.pop("action", None), SPEND
    if breakdown:
        title = breakdown[0]["label"]
    bought = moved.reason is Reason.grant and source is Source.purchase
    return Transaction(
        id=moved.id,
        created_at=moved.created_at,
        wallet=wallet,
        type=Type.purchase if bought else TYPES[moved.reason],
        amount=moved.amount if moved.reason in CREDITED else -moved.amount,
        balance_after=moved.balance_after,
        action=action,
        kind=kind,
        description=title or _words(moved.reason, source, details),
        reason=moved.reason,
        source=source,
        job_id=moved.job_id,
        spend_id=_spend_id(moved),
        metadata=details,
    )


def _words(reason: Reason, source: Source, details: dict[str, Any]) -> str:
    """What a transaction is called that brings no title of its own."""
    if reason is Reason.grant:
        return GRANTED[source]
    return PAYS_DEBT if reason is Reason.clawback and "because" in details else CALLED[reason]


def _spend_id(moved: Transfer) -> UUID | None:
    """The spend that a transfer belongs to: it is in its ref, `spend:<id>:<number>`."""
    if moved.reason is not Reason.spend:
        return None
    try:
        return UUID(moved.ref.removeprefix("spend:").partition(":")[0])
    except ValueError:
        return None
