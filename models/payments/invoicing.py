"""Invoicing: what subscriptions were billed, what came of it, and until when that pays for a plan."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from models import catalog, emails, plans, referrals, users
from models.database import insert_into, new_id, now
from models.payments import billing, checkouts
from models.payments.billing import BilledSubscription
from models.payments.facts import InvoiceFact, InvoiceStatus
from models.payments.tables import Invoice, Payment, PaymentState

RENEWAL = "subscription_cycle"
"""The gateway's reason for an invoice of a period that follows another."""


def follow_invoice(session: Session, fact: InvoiceFact) -> bool:
    """Bring an invoice in line with the gateway's, and say whether it is of a subscription of ours.

    Once it is paid, the plan is paid until the end of what it is for, and gives what begins before that. A failed
    attempt to take the money is mailed, once. Locks the user, then as `referrals.reward`, then the wallets.
    """
    row = billing.billed(session, fact.subscription_id)
    user_id = row.user_id if row else checkouts.owner_of(session, customer_id=fact.customer_id)
    if user_id is None or (row is None and fact.subscription_id is not None):
        return False
    users.lock(session, user_id)
    _keep(session, fact, user_id)
    if fact.status is InvoiceStatus.paid:
        if _received(session, fact, user_id):
            referrals.reward(session, catalog.current(session), user_id=user_id, on="purchase")
        if row is not None:
            _pay_until(session, row, fact)
    elif fact.status is InvoiceStatus.open and fact.attempts:
        emails.stage(
            session, key=f"invoice:{fact.id}:failed:{fact.attempts}", template="payment_failed", user_id=user_id,
            title=_title(session, fact), price={"amount": fact.due, "currency": fact.currency},
            retry_at=fact.next_attempt_at.isoformat() if fact.next_attempt_at else None,
        )  # fmt: skip
    return True


def _keep(session: Session, fact: InvoiceFact, user_id: UUID) -> None:
    covers = _covers(fact)
    values = {
        "status": fact.status, "number": fact.number, "due": fact.due, "paid": fact.paid, "page_url": fact.page_url,
        "pdf_url": fact.pdf_url, "attempts": fact.attempts,
    }  # fmt: skip
    statement = insert_into(session, Invoice).values(
        id=fact.id, user_id=user_id, subscription_id=fact.subscription_id, currency=fact.currency,
        created_at=fact.created_at, covers_from=covers[0], covers_until=covers[1], proration=_is_proration(fact),
        **values,
    )  # fmt: skip
    session.execute(statement.on_conflict_do_update(index_elements=[Invoice.id], set_=values))


def _received(session: Session, fact: InvoiceFact, user_id: UUID) -> bool:
    """Write down the money of a paid invoice, and say whether it is news. None was needed for a trial."""
    if fact.paid == 0:
        return False
    title = _title(session, fact)
    statement = insert_into(session, Payment).values(
        id=new_id(), user_id=user_id, invoice_id=fact.id, gateway_id=fact.intent_id or fact.id,
        charge_id=fact.charge_id, title=title, amount=fact.paid, refunded=0, currency=fact.currency,
        state=PaymentState.succeeded, receipt_url=fact.page_url, paid_at=now(),
    )  # fmt: skip
    new = session.scalar(statement.on_conflict_do_nothing(index_elements=[Payment.gateway_id]).returning(Payment.id))
    if new is None:
        return False
    emails.stage(
        session, key=f"receipt:{fact.id}", template="renewal" if fact.reason == RENEWAL else "receipt",
        user_id=user_id, title=title, price={"amount": fact.paid, "currency": fact.currency},
        reference=fact.number or fact.id,
    )  # fmt: skip
    return True


def _pay_until(session: Session, row: BilledSubscription, fact: InvoiceFact) -> None:
    ends = _covers(fact)[1]
    if ends is None or ends <= row.paid_until:
        return
    row.paid_until = ends
    session.flush()
    if row.subscription_id is not None and plans.is_open(session, subscription_id=row.subscription_id):
        plans.pay_until(session, user_id=row.user_id, subscription_id=row.subscription_id, paid_until=ends)
    else:
        plans.grant_late(session, user_id=row.user_id, held=billing.as_held(session, row))


def _covers(fact: InvoiceFact) -> tuple[datetime | None, datetime | None]:
    """The time that an invoice is for."""
    whole = [line for line in fact.lines if not line.proration] or [line for line in fact.lines if line.amount > 0]
    if not whole:
        return None, None
    return min(line.starts_at for line in whole), max(line.ends_at for line in whole)


def _is_proration(fact: InvoiceFact) -> bool:
    return bool(fact.lines) and all(line.proration for line in fact.lines)


def _title(session: Session, fact: InvoiceFact) -> str:
    """The title of the plan that an invoice is for."""
    named = next((line.plan for line in fact.lines if line.plan and line.amount >= 0), None)
    sold = catalog.current(session).plans.get(named or "")
    return sold.title if sold else "Subscription"
