"""Refunding: giving money back by decision of the house. The credits follow when the gateway has done it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import audit_log
from models.audit_log import By
from models.errors import Fault, InvalidInput, NotFound
from models.payments import errands
from models.payments.errands import Errand, ErrandKind
from models.payments.facts import RefundStatus
from models.payments.tables import Payment, PaymentState, Refund

OPEN = (RefundStatus.pending, RefundStatus.succeeded)


def give_back(
    session: Session, *, by: By, payment_id: UUID, amount: int | None = None, reason: str | None = None
) -> Errand:
    """Have a payment refunded, in whole or `amount` minor units of it, and write down who decided so.

    Locks the payment; one refund of a payment at a time. Raises `NotFound`, `InvalidInput` naming `amount` when there
    is less left of it, or `payment_id` when no money came, and `Underway`.
    """
    payment = session.scalar(select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True))
    if payment is None:
        raise NotFound("There is no such payment.")
    if payment.state is not PaymentState.succeeded or not payment.gateway_id.startswith("pi_"):
        raise InvalidInput(Fault("payment_id", "no money came with this payment that could go back"))
    sent = select(func.sum(Refund.amount)).where(Refund.payment_id == payment_id, Refund.status.in_(OPEN))
    left = payment.amount - int(session.scalar(sent) or 0)
    asked = left if amount is None else amount
    if not 0 < asked <= left:
        raise InvalidInput(Fault("amount", f"expected 1 to {left}, which is what is left of this payment"))
    audit_log.record(
        session, by=by, verb="payment.refund", target=f"payment:{payment_id}", before={"left": left},
        after={"left": left - asked}, reason=reason,
    )  # fmt: skip
    return errands.send(session, ErrandKind.refund, user_id=payment.user_id, about=payment.gateway_id, amount=asked)


def get(session: Session, errand_id: UUID) -> Errand:
    """A refund that was decided. Raises `NotFound`."""
    return errands.find(session, errand_id)
