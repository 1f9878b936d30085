"""Leaving: what a closing account does about money. Nothing more is taken; what was paid stays in the books."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from models.errors import Underway
from models.payments import billing, checkouts, errands, top_ups
from models.payments.errands import Errand, ErrandKind
from models.payments.tables import Checkout, Invoice, Payment


def stop(session: Session, *, user_id: UUID) -> bool:
    """See to it that nothing more is taken from a user, and say whether that is so by now.

    A subscription is canceled at once; until the gateway has done that, and given back what it has to, it is not so.
    What somebody pays on a page that is still open is given back when it comes (`receiving`, `billing`).
    """
    top_ups.switch_off(session, user_id=user_id)
    checkouts.withdraw(session, user_id=user_id)
    row = billing.going_on(session, user_id=user_id)
    if row is None:
        return not errands.is_owed(session, user_id=user_id)
    with suppress(Underway):
        errands.send(session, ErrandKind.cancel, user_id=user_id, about=row.id, at_period_end=False)
    return False


def erase(session: Session, *, user_id: UUID) -> None:
    """Forget the addresses of pages that show who a user was, and what was asked; sums, times and ids stay."""
    once = {"synchronize_session": False}
    session.execute(
        update(Checkout)
        .where(Checkout.user_id == user_id)
        .values(url=None, client_secret=None, success_url=None, cancel_url=None, idempotency_key=None)
        .execution_options(**once)
    )
    session.execute(
        update(Payment).where(Payment.user_id == user_id).values(receipt_url=None).execution_options(**once)
    )
    session.execute(
        update(Invoice).where(Invoice.user_id == user_id).values(page_url=None, pdf_url=None).execution_options(**once)
    )
    session.execute(delete(Errand).where(Errand.user_id == user_id).execution_options(**once))
