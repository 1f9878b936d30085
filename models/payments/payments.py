"""Payments and invoices as their owners see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from models import outbox, pages
from models.errors import NotFound
from models.payments.facts import DisputeStatus
from models.payments.tables import Dispute, Invoice, Payment, PaymentState

LOOK_TASK = "payments.look_at_payment"
QUEUE = "payments"


class Standing(StrEnum):
    """What a payment has come to, with what went back."""

    pending = "pending"
    succeeded = "succeeded"
    failed = "failed"
    partially_refunded = "partially_refunded"
    refunded = "refunded"
    disputed = "disputed"


@dataclass(frozen=True, slots=True)
class Paid:
    payment: Payment
    standing: Standing


def page(session: Session, *, user_id: UUID, limit: int, after: UUID | None = None) -> tuple[list[Paid], UUID | None]:
    """A user's payments, newest first, from just after `after`; with the id to go on from, None at the end."""
    mine = Payment.user_id, user_id
    rows, following = pages.newest(session, select(Payment), Payment.id, owner=mine, limit=limit, after=after)
    disputed = _disputed(session, [row.id for row in rows])
    return [Paid(row, _standing(row, disputed)) for row in rows], following


def get(session: Session, *, user_id: UUID, payment_id: UUID) -> Paid:
    """A user's payment. Raises `NotFound`."""
    payment = session.scalar(select(Payment).where(Payment.id == payment_id, Payment.user_id == user_id))
    if payment is None:
        raise NotFound("There is no such payment.")
    return Paid(payment, _standing(payment, _disputed(session, [payment.id])))


def find(session: Session, payment_id: UUID) -> Paid:
    """Anybody's payment. Raises `NotFound`."""
    payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound("There is no such payment.")
    return Paid(payment, _standing(payment, _disputed(session, [payment.id])))


def of_checkout(session: Session, checkout_id: UUID) -> UUID | None:
    """The newest payment of a checkout, if there is one."""
    query = select(Payment.id).where(Payment.checkout_id == checkout_id)
    return session.scalar(query.order_by(Payment.id.desc()).limit(1))


def gateway_id_of(session: Session, payment_id: UUID) -> str | None:
    return session.scalar(select(Payment.gateway_id).where(Payment.id == payment_id))


def look_again(session: Session, *, user_id: UUID, payment_id: UUID) -> Paid:
    """Have the gateway asked what has become of a payment that is not done. Raises `NotFound`."""
    found = get(session, user_id=user_id, payment_id=payment_id)
    if found.payment.state is not PaymentState.succeeded:
        task_id = f"payment-{payment_id}"
        outbox.stage(session, outbox.message(task=LOOK_TASK, queue=QUEUE, args=[str(payment_id)], task_id=task_id))
    return found


def invoices(
    session: Session, *, user_id: UUID, limit: int, after: str | None = None
) -> tuple[Sequence[Invoice], str | None]:
    """A user's invoices, newest first, from just after the one called `after`; with the id to go on from."""
    query = select(Invoice).where(Invoice.user_id == user_id)
    if after is not None:
        last = select(Invoice.created_at, Invoice.id).where(Invoice.id == after, Invoice.user_id == user_id)
        found = session.execute(last).one_or_none()
        if found is None:
            raise NotFound("There is no such invoice.")
        query = query.where(tuple_(Invoice.created_at, Invoice.id) < tuple_(*found))
    rows = session.scalars(query.order_by(Invoice.created_at.desc(), Invoice.id.desc()).limit(limit + 1)).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def _disputed(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    standing = (DisputeStatus.open, DisputeStatus.lost)
    return set(
        session.scalars(select(Dispute.payment_id).where(Dispute.payment_id.in_(ids), Dispute.status.in_(standing)))
    )


def _standing(payment: Payment, disputed: set[UUID]) -> Standing:
    if payment.id in disputed:
        return Standing.disputed
    if payment.refunded:
        return Standing.refunded if payment.refunded >= payment.amount else Standing.partially_refunded
    return Standing(payment.state)
