"""Subscribing: what a user wants of the subscription that is paid for; a worker asks it of the gateway."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models.catalog import Billing, Catalog
from models.errors import Fault, InvalidInput, NotFound
from models.payments import billing as billings
from models.payments import errands
from models.payments.billing import BilledSubscription
from models.payments.errands import Errand, ErrandKind


def change(
    session: Session,
    catalog: Catalog,
    *,
    user_id: UUID,
    plan: str | None = None,
    billing: Billing | None = None,
    cancel_at_period_end: bool | None = None,
) -> Errand:
    """Have the plan changed, or the subscription canceled at the end of its period, or that taken back.

    Locks nothing. Raises `NotFound` when the user pays for no plan, `InvalidInput` naming the field, and `Underway`
    while an earlier change is on its way.
    """
    row = _paid_for(session, user_id)
    if (cancel_at_period_end is None) == (plan is None and billing is None):
        raise InvalidInput(Fault("plan", "expected either `plan` and `billing`, or `cancel_at_period_end`"))
    if cancel_at_period_end is not None:
        kind = ErrandKind.cancel if cancel_at_period_end else ErrandKind.resume
        details = {"at_period_end": True} if cancel_at_period_end else {}
        return errands.send(session, kind, user_id=user_id, about=row.id, **details)
    return _change_plan(session, catalog, row, plan or row.plan, billing or row.billing)


def cancel(session: Session, *, user_id: UUID, at_period_end: bool) -> Errand:
    """Have the subscription ended, at once or with its period. Raises as `change`."""
    row = _paid_for(session, user_id)
    return errands.send(session, ErrandKind.cancel, user_id=user_id, about=row.id, at_period_end=at_period_end)


def _change_plan(session: Session, catalog: Catalog, row: BilledSubscription, plan: str, how: Billing) -> Errand:
    sold = catalog.plans.get(plan)
    if sold is None:
        raise InvalidInput(Fault("plan", f"there is no such plan; this product has {', '.join(catalog.plans)}"))
    price = sold.prices.get(how)
    if price is None or price.amount == 0:
        raise InvalidInput(Fault("billing", "this plan is not sold like this"))
    if (plan, how) == (row.plan, row.billing) and row.next_plan is None:
        raise InvalidInput(Fault("plan", "this is the plan you have"))
    more = billings.is_more(billings.terms_of(session, row), row.billing, sold, how)
    return errands.send(
        session, ErrandKind.change_plan, user_id=row.user_id, about=row.id, plan=plan, billing=how,
        amount=price.amount, currency=price.currency, prorate=more,
    )  # fmt: skip


def _paid_for(session: Session, user_id: UUID) -> BilledSubscription:
    row = billings.going_on(session, user_id=user_id)
    if row is None:
        raise NotFound("You pay for no plan.")
    return row
