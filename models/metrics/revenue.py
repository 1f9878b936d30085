"""Revenue: money that came and went back, by currency in minor units; how often people buy, and how often it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import distinct, func, select

from models.metrics.people import ratio
from models.metrics.spans import Span
from models.payments.tables import Dispute, Payment, PaymentState, Refund


@dataclass(frozen=True, slots=True)
class Revenue:
    """Money of one currency in a span, in minor units.

    `gross` came with `payments` of more than nothing, from `payers` different users. `refunded` and `disputed` went
    back: refunds made and disputes opened in the span, whenever the payment was, but for those that failed or were won.
    `net` is what is left of `gross`, and can be below zero.
    """

    payments: int = 0
    payers: int = 0
    gross: int = 0
    refunds: int = 0
    refunded: int = 0
    disputes: int = 0
    disputed: int = 0

    @property
    def net(self) -> int:
        return self.gross - self.refunded - self.disputed

    @property
    def per_paying_user(self) -> int | None:
        """`net` for each of those who paid in this currency, rounded down."""
        return self.net // self.payers if self.payers else None

    def per_user(self, users: int) -> int | None:
        """`net` for each of so many users, rounded down."""
        return self.net // users if users else None


@dataclass(frozen=True, slots=True)
class Purchases:
    """All payments of more than nothing that came in a span, in any currency, and how many each payer made."""

    payments: int
    payers: int

    @property
    def frequency(self) -> float | None:
        return ratio(self.payments, self.payers)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Payments of more than nothing that began in a span and have ended: `succeeded`, or `failed` and nothing came
    after all. A card that was declined before another one paid is no failed payment."""

    succeeded: int
    failed: int

    @property
    def failed_rate(self) -> float | None:
        return ratio(self.failed, self.succeeded + self.failed)


def revenue(span: Span) -> dict[str, Revenue]:
    """By currency. Reads all payments, refunds and disputes."""
    came = span.session.execute(
        select(Payment.currency, func.count(), func.count(distinct(Payment.user_id)), func.sum(Payment.amount))
        .where(Payment.amount > 0, *span.holds(Payment.paid_at))
        .group_by(Payment.currency)
    )
    paid = {currency: (int(number), int(payers), int(total)) for currency, number, payers, total in came}
    refunds, disputes = _went_back(span, Refund), _went_back(span, Dispute)
    found = {}
    for currency in sorted({*paid, *refunds, *disputes}):
        payments, payers, gross = paid.get(currency, (0, 0, 0))
        (refunded, money_refunded), (disputed, money_disputed) = (
            went.get(currency, (0, 0)) for went in (refunds, disputes)
        )
        found[currency] = Revenue(payments, payers, gross, refunded, money_refunded, disputed, money_disputed)
    return found


def purchases(span: Span) -> Purchases:
    row = span.session.execute(
        select(func.count(), func.count(distinct(Payment.user_id))).where(
            Payment.amount > 0, *span.holds(Payment.paid_at)
        )
    ).one()
    return Purchases(payments=int(row[0]), payers=int(row[1]))


def attempts(span: Span) -> Attempts:
    rows = span.session.execute(
        select(Payment.state, func.count())
        .where(Payment.amount > 0, *span.made(Payment.id, Payment.created_at))
        .group_by(Payment.state)
    )
    ended: Mapping[PaymentState, int] = {state: int(number) for state, number in rows}
    return Attempts(succeeded=ended.get(PaymentState.succeeded, 0), failed=ended.get(PaymentState.failed, 0))


def _went_back(span: Span, table: type[Refund] | type[Dispute]) -> dict[str, tuple[int, int]]:
    """How many refunds or disputes stand, and their money, by currency."""
    rows = span.session.execute(
        select(Payment.currency, func.count(), func.sum(table.amount))
        .join(Payment, Payment.id == table.payment_id)
        .where(table.answered_at.is_not(None), table.restored_at.is_(None), *span.holds(table.created_at))
        .group_by(Payment.currency)
    )
    return {currency: (int(number), int(total)) for currency, number, total in rows}
