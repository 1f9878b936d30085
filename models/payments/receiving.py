"""Receiving: what pages and payments at the gateway have come to, and the credits that packs give for money."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from models import packs, users
from models.catalog import Money
from models.database import insert_into, new_id, now
from models.payments import checkouts, errands
from models.payments.errands import ErrandKind
from models.payments.facts import IntentFact, IntentStatus, PageFact, PageStatus
from models.payments.tables import Checkout, CheckoutMode, CheckoutState, Payment, PaymentLot, PaymentState


def follow_page(session: Session, fact: PageFact) -> bool:
    """Bring a checkout in line with its page, and say whether it is one of ours.

    A page is paid once, whoever says so and how often: a pack's credits are named by the payment. A subscription's page
    is only closed here; its credits come with its invoices. Locks the checkout, then as `packs.give`.
    """
    checkout = _locked(session, fact.checkout_id, fact.id)
    if checkout is None:
        return False
    checkouts.opened(session, checkout_id=checkout.id, gateway_id=fact.id)
    if fact.status is PageStatus.complete and fact.paid:
        if checkout.pack is not None:
            _fulfil(session, checkout, gateway_id=fact.intent_id or fact.id, amount=fact.amount, currency=fact.currency)
        checkouts.end(session, checkout_id=checkout.id, state=CheckoutState.paid)
    elif fact.failed:
        checkouts.end(session, checkout_id=checkout.id, state=CheckoutState.failed, problem="payment_failed")
    elif fact.status is PageStatus.expired:
        checkouts.end(session, checkout_id=checkout.id, state=CheckoutState.expired)
    return True


def follow_intent(session: Session, fact: IntentFact) -> bool:
    """Bring a payment for a pack in line with the gateway's, and say whether it is of a customer of ours.

    Of an invoice's payment the invoice tells. A decline is noted and may yet turn into success. Locks the checkout,
    then as `packs.give`.
    """
    checkout = _locked(session, fact.checkout_id, fact.id)
    if checkout is None or checkout.pack is None:
        return checkouts.owner_of(session, customer_id=fact.customer_id) is not None
    if checkout.mode is not CheckoutMode.page:
        checkouts.opened(session, checkout_id=checkout.id, gateway_id=fact.id)
    about = {"charge_id": fact.charge_id, "receipt_url": fact.receipt_url}
    if fact.status is IntentStatus.succeeded:
        _fulfil(session, checkout, gateway_id=fact.id, amount=fact.received, currency=fact.currency, **about)
        checkouts.end(session, checkout_id=checkout.id, state=CheckoutState.paid)
    elif fact.status is IntentStatus.canceled:
        _note(session, checkout, fact, PaymentState.failed, fact.decline or "canceled")
        if checkout.mode is not CheckoutMode.page:
            checkouts.end(session, checkout_id=checkout.id, state=CheckoutState.failed, problem="canceled")
    elif fact.decline is not None:
        _note(session, checkout, fact, PaymentState.failed, fact.decline)
    return True


def _locked(session: Session, checkout_id: UUID | None, gateway_id: str) -> Checkout | None:
    """The checkout by the id it was opened with, or by what the gateway knows it as."""
    known = Checkout.id == checkout_id if checkout_id is not None else Checkout.gateway_id == gateway_id
    query = select(Checkout).where(known).with_for_update(key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def _fulfil(
    session: Session, checkout: Checkout, *, gateway_id: str, amount: int, currency: str, **about: str | None
) -> None:
    """Note that the money has come, and give the pack that was sold for it, once; to an account that is closing or
    closed, the money goes back instead."""
    payment_id, new = _received(session, checkout, gateway_id, amount, currency, about)
    if not new:
        return
    if not users.is_open(session, checkout.user_id):
        errands.send(session, ErrandKind.refund, user_id=checkout.user_id, about=gateway_id, amount=amount)
        return
    sold = checkouts.sold_pack(checkout)
    lots = packs.give(
        session, user_id=checkout.user_id, pack=checkout.pack or "", sold=sold, ref=f"payment:{gateway_id}",
        reference=gateway_id, paid=Money(amount=amount, currency=currency),
    )  # fmt: skip
    session.execute(
        insert_into(session, PaymentLot)
        .values([{"payment_id": payment_id, "lot_id": lot_id} for lot_id in lots])
        .on_conflict_do_nothing()
    )


def _received(
    session: Session, checkout: Checkout, gateway_id: str, amount: int, currency: str, about: dict[str, Any]
) -> tuple[UUID, bool]:
    """The payment's id, and whether its money had not been seen before. What is newly known of it is added."""
    known = {name: value for name, value in about.items() if value is not None}
    statement = insert_into(session, Payment).values(
        id=new_id(), user_id=checkout.user_id, checkout_id=checkout.id, gateway_id=gateway_id,
        title=checkout.terms["title"], amount=amount, currency=currency, refunded=0, state=PaymentState.pending,
        **known,
    )  # fmt: skip
    session.execute(statement.on_conflict_do_nothing(index_elements=[Payment.gateway_id]))
    this = Payment.gateway_id == gateway_id
    if known:
        session.execute(update(Payment).where(this).values(known).execution_options(synchronize_session=False))
    succeeded = session.scalar(
        update(Payment)
        .where(this, Payment.state != PaymentState.succeeded)
        .values(state=PaymentState.succeeded, amount=amount, currency=currency, decline=None, paid_at=now())
        .returning(Payment.id)
        .execution_options(synchronize_session=False)
    )
    if succeeded is not None:
        return succeeded, True
    return session.execute(select(Payment.id).where(this)).scalar_one(), False


def _note(session: Session, checkout: Checkout, fact: IntentFact, state: PaymentState, decline: str) -> None:
    """Write down that a payment was declined, unless its money has come."""
    statement = insert_into(session, Payment).values(
        id=new_id(), user_id=checkout.user_id, checkout_id=checkout.id, gateway_id=fact.id,
        title=checkout.terms["title"], amount=fact.amount, currency=fact.currency, state=state, decline=decline,
        refunded=0,
    )  # fmt: skip
    still = case((Payment.state == PaymentState.succeeded, Payment.state), else_=state)
    why = case((Payment.state == PaymentState.succeeded, None), else_=decline)
    session.execute(
        statement.on_conflict_do_update(index_elements=[Payment.gateway_id], set_={"state": still, "decline": why})
    )
