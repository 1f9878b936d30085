"""Refunding: giving money back by decision of the house. The credits follow when the gateway has done it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import audit_log
from models.audit_log import By
from models.errors import Fault, IdempotencyKeyReused, InvalidInput, NotFound
from models.payments import errands
from models.payments.errands import Errand, ErrandKind
from models.payments.facts import RefundStatus
from models.payments.tables import Payment, PaymentState, Refund

OPEN = (RefundStatus.pending, RefundStatus.succeeded)


@dataclass(frozen=True, slots=True)
class Decided:
    """A refund, decided now or by an earlier request with the same idempotency key (`replayed`)."""

    errand: Errand
    replayed: bool


def give_back(
    session: Session,
    *,
    by: By,
    payment_id: UUID,
    amount: int | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Decided:
    """Have a payment refunded, in whole or `amount` minor units of it, and write down who decided so.

    Locks the payment; one refund of a payment at a time, and one for each key as long as errands are kept. Raises
    `NotFound`, `InvalidInput` naming `amount` when there is less left of it, or `payment_id` when no money came or all
    of it has gone back, `IdempotencyKeyReused` when the key came with another amount, and `Underway`.
    """
    payment = session.scalar(select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True))
    if payment is None:
        raise NotFound("There is no such payment.")
    earlier = _decided_before(session, payment, idempotency_key)
    if earlier is not None:
        if earlier.details["wanted"] != amount:
            raise IdempotencyKeyReused("This idempotency key came with another request before.")
        return Decided(earlier, replayed=True)
    if payment.state is not PaymentState.succeeded or not payment.gateway_id.startswith("pi_"):
        raise InvalidInput(Fault("payment_id", "no money came with this payment that could go back"))
    sent = select(func.sum(Refund.amount)).where(Refund.payment_id == payment_id, Refund.status.in_(OPEN))
    left = payment.amount - int(session.scalar(sent) or 0)
    if left <= 0:
        raise InvalidInput(Fault("payment_id", "all of this payment has gone back already"))
    asked = left if amount is None else amount
    if not 0 < asked <= left:
        raise InvalidInput(Fault("amount", f"expected 1 to {left}, which is what is left of this payment"))
    audit_log.record(
        session, by=by, verb="payment.refund", target=f"payment:{payment_id}", before={"left": left},
        after={"left": left - asked}, reason=reason,
    )  # fmt: skip
    sent_now = errands.send(
        session, ErrandKind.refund, user_id=payment.user_id, about=payment.gateway_id, amount=asked, wanted=amount,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    return Decided(sent_now, replayed=False)


def get(session: Session, errand_id: UUID) -> Errand:
    """A refund that was decided. Raises `NotFound`."""
    return errands.find(session, errand_id)


def _decided_before(session: Session, payment: Payment, key: str | None) -> Errand | None:
    """The refund of a locked payment that came with this key; few payments have more than one at all."""
    if key is None:
        return None
    query = select(Errand).where(
        Errand.user_id == payment.user_id, Errand.kind == ErrandKind.refund, Errand.about == payment.gateway_id
    )
    return next((each for each in session.scalars(query) if each.details.get("idempotency_key") == key), None)
