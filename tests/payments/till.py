"""A product that sells, its customers, and facts as a gateway would tell them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select

from models import audit, emails, ledger
from models.catalog import Billing, Catalog
from models.database import moment, sessions
from models.ledger import Lot, Transfer, Wallet
from models.payments import checkouts
from models.payments.checkouts import Wanted
from models.payments.facts import (
    DisputeFact,
    DisputeStatus,
    Fact,
    IntentFact,
    IntentStatus,
    InvoiceFact,
    InvoiceLine,
    InvoiceStatus,
    PageFact,
    PageStatus,
    RefundFact,
    RefundStatus,
    SubscriptionFact,
    SubscriptionStatus,
)
from models.payments.following import follow
from models.payments.tables import CheckoutMode
from tests.jobs.work import once
from tests.plans import shop

EURO = "EUR"


def _monthly(amount: int, yearly: int) -> dict[str, Any]:
    return {"monthly": {"amount": amount, "currency": EURO}, "yearly": {"amount": yearly, "currency": EURO}}


PLANS: dict[str, Any] = {
    "free": {"title": "Free", "rank": 0},
    "basic": {
        "title": "Basic", "rank": 1, "prices": _monthly(1500, 15000), "features": ["hd"],
        "allowances": [{"wallet": "credits", "amount": 500, "period": "cycle"}],
    },
    "premium": {
        "title": "Premium", "rank": 2, "prices": _monthly(2900, 29000), "features": ["hd", "video"],
        "allowances": [{"wallet": "credits", "amount": 1200, "period": "cycle"}],
    },
    "weekly": {
        "title": "Weekly", "rank": 1, "prices": _monthly(999, 9990),
        "allowances": [{"wallet": "tokens", "amount": 500, "period": "weekly"}],
    },
}  # fmt: skip

PACKS: dict[str, Any] = {
    "pro": {
        "title": "Pro", "price": {"amount": 2499, "currency": EURO}, "credits": {"credits": 150},
        "bonus": {"credits": 10},
    },
    "quick": {
        "title": "Quick", "price": {"amount": 300, "currency": "JPY"}, "credits": {"credits": 30}, "quick": True,
    },
}  # fmt: skip


def open_store(**changes: Any) -> Catalog:
    return shop.open_shop(plans=PLANS, packs=PACKS, **changes)


def customer(store: Catalog) -> UUID:
    """A user whom the gateway knows."""
    user = shop.sign_up(store)
    once(checkouts.keep_customer, user_id=user, gateway_id=f"cus_{user.hex}")
    return user


def begin(store: Catalog, user: UUID, *, mode: CheckoutMode = CheckoutMode.page, **wanted: Any) -> UUID:
    """A checkout that is open at the gateway."""
    begun = once(checkouts.begin, store, Wanted(mode=mode, **wanted), user_id=user)
    return begun.checkout.id


def paid_page(checkout_id: UUID, intent: str = "pi_1", **how: Any) -> PageFact:
    fact = PageFact(
        id=f"cs_{checkout_id.hex}", checkout_id=checkout_id, status=PageStatus.complete, paid=True, amount=2499,
        currency=EURO, intent_id=intent,
    )  # fmt: skip
    return replace(fact, **how)


def succeeded(checkout_id: UUID, intent: str = "pi_1", **how: Any) -> IntentFact:
    fact = IntentFact(
        id=intent, checkout_id=checkout_id, status=IntentStatus.succeeded, amount=2499, received=2499, currency=EURO,
        charge_id=f"ch_{intent}",
    )  # fmt: skip
    return replace(fact, **how)


def refunded(amount: int, *, id: str = "re_1", intent: str = "pi_1", **how: Any) -> RefundFact:  # noqa: A002
    fact = RefundFact(
        id=id, status=RefundStatus.succeeded, amount=amount, currency=EURO, intent_id=intent, charge_id=None,
        created_at=now(),
    )  # fmt: skip
    return replace(fact, **how)


def disputed(
    amount: int, status: DisputeStatus = DisputeStatus.open, *, intent: str = "pi_1", **how: Any
) -> DisputeFact:
    fact = DisputeFact(
        id="dp_1", status=status, amount=amount, currency=EURO, intent_id=intent, charge_id=None, created_at=now()
    )
    return replace(fact, **how)


def billed(user: UUID, plan: str = "basic", **how: Any) -> SubscriptionFact:
    """A subscription that began a minute ago."""
    began = how.pop("began", now() - timedelta(minutes=1))
    fact = SubscriptionFact(
        id=f"sub_{user.hex}", customer_id=f"cus_{user.hex}", status=SubscriptionStatus.active, plan=plan,
        billing=Billing.monthly, item_id="si_1", period_starts_at=began, period_ends_at=began + timedelta(days=30),
        created_at=began,
    )  # fmt: skip
    return replace(fact, **how)


def paid(subscription: SubscriptionFact, invoice: str = "in_1", **how: Any) -> InvoiceFact:
    """The invoice of a subscription's period, paid."""
    line = InvoiceLine(
        id=f"il_{invoice}", amount=1500, plan=subscription.plan, billing=subscription.billing,
        starts_at=subscription.period_starts_at, ends_at=subscription.period_ends_at,
    )  # fmt: skip
    fact = InvoiceFact(
        id=invoice, status=InvoiceStatus.paid, customer_id=subscription.customer_id, subscription_id=subscription.id,
        due=1500, paid=1500, currency=EURO, created_at=subscription.period_starts_at, reason="subscription_create",
        intent_id=f"pi_{invoice}", lines=(line,),
    )  # fmt: skip
    return replace(fact, **how)


def tell(*facts: Fact, times: int = 2) -> None:
    """Follow facts in their order, each in a transaction of its own, and then all of them once more."""
    for _ in range(times):
        for fact in facts:
            assert once(follow, fact)


def now() -> datetime:
    with sessions() as session:
        return moment(session)


def moves(user: UUID) -> list[tuple[str, int]]:
    """Every transfer of a user: the reason, and the amount as it changed what is available."""
    with sessions() as session:
        rows = session.execute(
            select(Transfer.reason, Transfer.amount, Transfer.target)
            .join(Wallet, Wallet.id == Transfer.wallet_id)
            .where(Wallet.user_id == user)
            .order_by(Transfer.id)
        ).all()
    return [(str(row.reason), row.amount if row.target == "available" else -row.amount) for row in rows]


def balance(user: UUID, kind: str = "credits") -> tuple[int, int]:
    """What a user has available, and owes."""
    with sessions() as session:
        found = ledger.balances(session, user_id=user)[kind]
    return found.available, found.debt


def lots(user: UUID) -> list[tuple[str, str, int]]:
    """Where each lot of a user came from, under which name, and how much it was."""
    with sessions() as session:
        rows = session.execute(
            select(Lot.source, Lot.ref, Lot.issued)
            .join(Wallet, Wallet.id == Lot.wallet_id)
            .where(Wallet.user_id == user)
            .order_by(Lot.id)
        ).all()
    return [(str(row.source), row.ref, row.issued) for row in rows]


def mail(user: UUID) -> list[str]:
    """The templates of what a user was mailed about money, in order."""
    with sessions() as session:
        query = select(emails.Email.template).where(emails.Email.user_id == user).order_by(emails.Email.id)
        return [template for template in session.scalars(query) if template != "verify_address"]


def spend(user: UUID, amount: int) -> None:
    wallet_id = shop.wallet(user)
    once(ledger.spend, wallet_id=wallet_id, amount=amount, ref=f"test:{uuid4().hex}")


def books_are_clean() -> None:
    with sessions() as session:
        assert audit.audit(session) == []
