"""Returning: money that went back, by refund or dispute, and the credits that follow it.

Credits come back from the very lots that the payment made, in proportion to the money, counted on the running total of
the payment: refunds in parts add up to the whole, whatever the rounding. What was spent becomes debt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, select, update
from sqlalchemy.orm import Session

from models import emails, ledger
from models.database import insert_into, now
from models.ledger import Clawback, Lot, Source, Wallet
from models.payments.facts import DisputeFact, DisputeStatus, RefundFact, RefundStatus
from models.payments.tables import Dispute, Invoice, Payment, PaymentLot, Refund


def follow_refund(session: Session, fact: RefundFact) -> bool:
    """Bring a refund in line with the gateway's, and say whether it is of a payment of ours.

    Once it has gone through, the credits follow, once. One that fails later gives them back. Locks the payment, then
    its lots' wallets in the order of their ids.
    """
    payment = _payment_of(session, fact.intent_id, fact.charge_id)
    if payment is None:
        return False
    statement = insert_into(session, Refund).values(
        id=fact.id, payment_id=payment.id, amount=fact.amount, status=fact.status, created_at=fact.created_at
    )
    session.execute(statement.on_conflict_do_update(index_elements=[Refund.id], set_={"status": fact.status}))
    answered, restored = _answers(session, Refund, fact.id)
    if fact.status is RefundStatus.succeeded and not answered:
        _take_back(session, payment, fact.amount, ref=f"refund:{fact.id}")
        _stamp(session, Refund, fact.id, Refund.answered_at.key)
        _set_refunded(session, payment)
        emails.stage(
            session, key=f"refund:{fact.id}", template="refund", user_id=payment.user_id, title=payment.title,
            price=_price(fact), reference=fact.id,
        )  # fmt: skip
    elif fact.status in (RefundStatus.failed, RefundStatus.canceled) and answered and not restored:
        _give_again(session, f"refund:{fact.id}")
        _stamp(session, Refund, fact.id, Refund.restored_at.key)
        _set_refunded(session, payment)
    return True


def follow_dispute(session: Session, fact: DisputeFact) -> bool:
    """Bring a dispute in line with the gateway's, and say whether it is of a payment of ours.

    While the bank has the money, and for good when it is lost, the credits are taken back; when it is won exactly those
    are restored. A mere inquiry takes nothing. Locks as `follow_refund`.
    """
    payment = _payment_of(session, fact.intent_id, fact.charge_id)
    if payment is None:
        return False
    statement = insert_into(session, Dispute).values(
        id=fact.id, payment_id=payment.id, amount=fact.amount, status=fact.status, created_at=fact.created_at
    )
    session.execute(statement.on_conflict_do_update(index_elements=[Dispute.id], set_={"status": fact.status}))
    answered, restored = _answers(session, Dispute, fact.id)
    if fact.status in (DisputeStatus.open, DisputeStatus.lost) and not answered:
        _take_back(session, payment, fact.amount, ref=f"dispute:{fact.id}")
        _stamp(session, Dispute, fact.id, Dispute.answered_at.key)
        emails.stage(
            session, key=f"dispute:{fact.id}", template="dispute_opened", user_id=payment.user_id,
            title=payment.title, price=_price(fact), reference=fact.id,
        )  # fmt: skip
    elif fact.status is DisputeStatus.won and answered and not restored:
        _give_again(session, f"dispute:{fact.id}")
        _stamp(session, Dispute, fact.id, Dispute.restored_at.key)
        emails.stage(
            session, key=f"dispute:{fact.id}:won", template="dispute_won", user_id=payment.user_id,
            title=payment.title, price=_price(fact), reference=fact.id,
        )  # fmt: skip
    return True


def _price(fact: RefundFact | DisputeFact) -> dict[str, Any]:
    return {"amount": fact.amount, "currency": fact.currency}


def _payment_of(session: Session, intent_id: str | None, charge_id: str | None) -> Payment | None:
    if intent_id is not None:
        known = Payment.gateway_id == intent_id
    elif charge_id is not None:
        known = Payment.charge_id == charge_id
    else:
        return None
    query = select(Payment).where(known).with_for_update(key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def _lots_of(session: Session, payment: Payment) -> Sequence[tuple[int, int]]:
    """The lots that a payment made, with what was issued, in the order in which their wallets are locked."""
    made = select(PaymentLot.lot_id).where(PaymentLot.payment_id == payment.id)
    lots = select(Lot.id, Lot.issued).join(Wallet, Wallet.id == Lot.wallet_id).where(Wallet.user_id == payment.user_id)
    if payment.invoice_id is None:
        lots = lots.where(Lot.id.in_(made))
    else:
        lots = lots.where(*_given_for(session.get_one(Invoice, payment.invoice_id)))
    return [(lot_id, issued) for lot_id, issued in session.execute(lots.order_by(Wallet.id, Lot.id))]


def _given_for(invoice: Invoice) -> list[ColumnElement[bool]]:
    """The lots that a plan gave in the time an invoice is for; of a change within it, the difference alone."""
    if invoice.covers_from is None or invoice.covers_until is None:
        return [false()]
    in_time = [Lot.created_at >= invoice.covers_from, Lot.created_at < invoice.covers_until]
    of_this = Lot.ref.startswith(f"cycle:{invoice.subscription_id}:", autoescape=True)
    difference = Lot.ref.contains(":to:")
    if invoice.proration:
        return [*in_time, of_this, difference]
    return [*in_time, or_(and_(of_this, not_(difference)), Lot.source.in_([Source.weekly, Source.daily]))]


def _take_back(session: Session, payment: Payment, amount: int, *, ref: str) -> None:
    """Take back what `amount` more of the money had bought."""
    if amount <= 0:
        return
    gone = min(_money_gone(session, payment) + amount, payment.amount)
    for lot_id, issued in _lots_of(session, payment):
        due = issued * gone // payment.amount - _taken_back(session, lot_id)
        if due > 0:
            ledger.clawback(session, lot_id=lot_id, amount=due, ref=f"{ref}:{lot_id}")


def _money_gone(session: Session, payment: Payment) -> int:
    """How much of the payment is gone so far by refunds and disputes, in minor units."""
    total = sum(
        int(session.scalar(select(func.sum(table.amount)).where(table.payment_id == payment.id, *_stands(table))) or 0)
        for table in (Refund, Dispute)
    )
    return min(total, payment.amount)


def _stands(table: type[Refund] | type[Dispute]) -> list[ColumnElement[bool]]:
    """What took credits back and did not restore them."""
    return [table.answered_at.is_not(None), table.restored_at.is_(None)]


def _taken_back(session: Session, lot_id: int) -> int:
    asked = select(func.sum(Clawback.amount)).where(Clawback.lot_id == lot_id, Clawback.restored_at.is_(None))
    return int(session.scalar(asked) or 0)


def _give_again(session: Session, ref: str) -> None:
    """Restore what was taken back under `ref`, in the order in which wallets are locked."""
    taken = select(Clawback.ref).where(Clawback.ref.startswith(f"{ref}:", autoescape=True))
    for each in session.scalars(taken.order_by(Clawback.wallet_id, Clawback.lot_id)).all():
        ledger.restore(session, ref=each)


def _answers(session: Session, table: type[Refund] | type[Dispute], fact_id: str) -> tuple[bool, bool]:
    """Whether credits were taken back for this, and whether they were restored."""
    answered, restored = session.execute(
        select(table.answered_at.is_not(None), table.restored_at.is_not(None)).where(table.id == fact_id)
    ).one()
    return bool(answered), bool(restored)


def _stamp(session: Session, table: type[Refund] | type[Dispute], fact_id: str, column: str) -> None:
    done = update(table).where(table.id == fact_id).values({column: now()})
    session.execute(done.execution_options(synchronize_session=False))


def _set_refunded(session: Session, payment: Payment) -> None:
    query = select(func.sum(Refund.amount)).where(Refund.payment_id == payment.id, *_stands(Refund))
    payment.refunded = min(int(session.scalar(query) or 0), payment.amount)
    session.flush()
