"""Margins: action by action, what was charged, what its buyers had paid for that, and what providers cost.

A credit is worth what was paid for it: its payment, less what went back, over all credits that the payment made and
still stand, a bonus among them. Credits that nobody paid for one by one are worth nothing here: gifts, promotions,
packs that were paid for elsewhere, and the allowances of plans, which are paid for with their features (`plan_income`).
Currencies stay side by side, and the cost is in US dollars: nothing is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import floor

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.jobs import Attempt, Job
from models.ledger import Lot, Reason, Transfer
from models.payments.tables import Dispute, Payment, PaymentLot


@dataclass(frozen=True, slots=True)
class Margin:
    """What came of one action, of its jobs that ended in a span of time.

    `charged` and, of these, `bought` are credits of `wallet`; `worth` is what buyers paid for those, in minor units by
    currency, rounded down. `cost_micros` is what all attempts cost whose cost is known, in millionths of a US dollar;
    of `unknown` it is not.
    """

    action: str
    wallet: str
    jobs: int
    charged: int
    bought: int = 0
    worth: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    unknown: int = 0
    cost_micros: int = 0


def margins(session: Session, *, since: datetime | None = None, until: datetime | None = None) -> list[Margin]:
    """Each action with its margin, by name, from the jobs that ended from `since` to just before `until`.

    What an attempt costs belongs to the time in which its job ended. Reads all those jobs; locks nothing.
    """
    ended = [Job.finished_at.is_not(None), *_within(Job.finished_at, since, until)]
    by = Job.action, Job.wallet
    costs = {
        (action, wallet): (attempts, attempts - known, int(micros or 0))
        for action, wallet, attempts, known, micros in session.execute(
            select(*by, func.count(), func.count(Attempt.cost_micros), func.coalesce(func.sum(Attempt.cost_micros), 0))
            .join(Attempt, Attempt.job_id == Job.id)
            .where(*ended)
            .group_by(*by)
        )
    }
    bought, worth = _worth(session, ended)
    found = []
    rows = select(*by, func.count(), func.sum(Job.charged)).where(*ended).group_by(*by).order_by(*by)
    for action, wallet, number, charged in session.execute(rows):
        attempts, unknown, micros = costs.get((action, wallet), (0, 0, 0))
        money = worth.get((action, wallet), {})
        found.append(
            Margin(
                action=action,
                wallet=wallet,
                jobs=number,
                charged=int(charged or 0),
                bought=bought.get((action, wallet), 0),
                worth={currency: floor(money[currency]) for currency in sorted(money)},
                attempts=attempts,
                unknown=unknown,
                cost_micros=micros,
            )
        )
    return found


def plan_income(session: Session, *, since: datetime | None = None, until: datetime | None = None) -> dict[str, int]:
    """What was paid for plans in a span of time and did not go back, in minor units by currency. Locks nothing."""
    rows = session.execute(
        select(Payment.currency, func.sum(_kept()))
        .where(Payment.invoice_id.is_not(None), Payment.paid_at.is_not(None), *_within(Payment.paid_at, since, until))
        .group_by(Payment.currency)
        .order_by(Payment.currency)
    )
    return {currency: int(total) for currency, total in rows}


Action = tuple[str, str]
"""An action and the wallet it was paid from."""


def _worth(
    session: Session, ended: list[ColumnElement[bool]]
) -> tuple[dict[Action, int], dict[Action, dict[str, Fraction]]]:
    """How many of the credits that each action charged were bought, and what had been paid for them."""
    standing = (
        select(PaymentLot.payment_id, func.sum(Lot.issued - Lot.clawed_back).label("credits"))
        .join(Lot, Lot.id == PaymentLot.lot_id)
        .group_by(PaymentLot.payment_id)
        .subquery()
    )
    paid = (
        select(Payment.id, Payment.currency, _kept().label("kept"), standing.c.credits)
        .join(standing, standing.c.payment_id == Payment.id)
        .subquery()
    )
    # Most payments are for one of a few packs, so these are few rows however many payments there are.
    by = Job.action, Job.wallet, paid.c.currency, paid.c.kept, paid.c.credits
    rows = session.execute(
        select(*by, func.sum(Transfer.amount))
        .join(Transfer, Transfer.job_id == Job.id)
        .join(PaymentLot, PaymentLot.lot_id == Transfer.lot_id)
        .join(paid, paid.c.id == PaymentLot.payment_id)
        .where(Transfer.reason == Reason.settle, *ended)
        .group_by(*by)
    )
    bought: dict[Action, int] = {}
    worth: dict[Action, dict[str, Fraction]] = {}
    for action, wallet, currency, kept, standing_credits, spent in rows:
        key = action, wallet
        bought[key] = bought.get(key, 0) + int(spent)
        money = worth.setdefault(key, {})
        worth_of_these = Fraction(int(spent) * max(int(kept), 0), int(standing_credits))
        money[currency] = money.get(currency, Fraction()) + worth_of_these
    return bought, worth


def _kept() -> ColumnElement[int]:
    """What is left of a payment after refunds and disputes, in minor units."""
    gone = (
        select(func.coalesce(func.sum(Dispute.amount), 0))
        .where(Dispute.payment_id == Payment.id, Dispute.answered_at.is_not(None), Dispute.restored_at.is_(None))
        .correlate(Payment)
        .scalar_subquery()
    )
    return Payment.amount - Payment.refunded - gone


def _within(
    column: InstrumentedAttribute[datetime | None], since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    after = [] if since is None else [column >= since]
    return after if until is None else [*after, column < until]
