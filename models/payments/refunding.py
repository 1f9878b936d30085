"""Refunding: giving money back by decision of the house. The credits follow when the gateway has done it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.errors import Fault, InvalidInput, NotFound
from models.payments import errands
from models.payments.errands import Errand, ErrandKind
from models.payments.facts import RefundStatus
from models.payments.tables import Payment, PaymentState, Refund

OPEN = (RefundStatus.pending, RefundStatus.succeeded)


def give_back(session: Session, *, payment_id: UUID, amount: int | None = None) -> Errand:
    """Have a payment refunded, in whole or `amount` minor units of it.

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
    return errands.send(session, ErrandKind.refund, user_id=payment.user_id, about=payment.gateway_id, amount=asked)
