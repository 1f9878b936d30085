"""A product with plans, and people who have them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select

from models import catalog, ledger, plans, quotes, signup, spends
from models.catalog import Catalog
from models.database import sessions
from models.ledger import Account, Lot, Reason, Wallet
from models.plans import Origin, Subscription
from models.spends import Receipt
from tests.jobs import work
from tests.jobs.work import once
from tests.ledger.books import Move

SPOKEN = {"title": "A tip", "kind": "spend", "wallet": "credits"}

PLANS: dict[str, Any] = {
    "free": {"title": "Free", "rank": 0, "allowances": [{"wallet": "credits", "amount": 50, "period": "daily"}]},
    "plus": {"title": "Plus", "rank": 1, "allowances": [{"wallet": "credits", "amount": 80, "period": "daily"}]},
    "top": {"title": "Top", "rank": 2, "allowances": [{"wallet": "credits", "amount": 200, "period": "daily"}]},
    "weekly": {"title": "Weekly", "rank": 1, "allowances": [{"wallet": "tokens", "amount": 500, "period": "weekly"}]},
    "monthly": {"title": "Monthly", "rank": 1, "allowances": [{"wallet": "credits", "amount": 300, "period": "cycle"}]},
    "mixed": {
        "title": "Mixed", "rank": 1,
        "allowances": [
            {"wallet": "credits", "amount": 10, "period": "daily"},
            {"wallet": "credits", "amount": 70, "period": "weekly"},
            {"wallet": "tokens", "amount": 30, "period": "weekly"},
        ],
    },
    "saving": {
        "title": "Saving", "rank": 1,
        "allowances": [{"wallet": "tokens", "amount": 40, "period": "weekly", "rollover": True}],
    },
    "empty": {"title": "Empty", "rank": 0},
    "endless": {
        "title": "Endless", "rank": 3,
        "unlimited": [
            {"wallet": "tokens", "fair_use": {"uses": 3, "per": "hour"}},
            {"action": "chat", "fair_use": {"uses": 4, "per": "hour"}},
            {"action": "tip", "fair_use": {"uses": 2, "per": "day"}},
        ],
    },
}  # fmt: skip

DOCUMENT: dict[str, Any] = {
    "name": "shop",
    "title": "Shop",
    "wallets": {"credits": {"title": "Credits"}, "tokens": {"title": "Tokens"}},
    "signup": {"plan": "free"},
    "reset": {"at": "04:00", "zone": "Europe/Berlin", "weekday": "monday"},
    "actions": {
        "tip": {**SPOKEN, "price": {"form": "per_unit", "quantity": "quantity", "amount": 1}},
        "token": {**SPOKEN, "wallet": "tokens", "price": {"amount": 1}},
        "chat": {"title": "Chat", "kind": "chat", "wallet": "credits", "price": {"amount": 5}},
    },
    "plans": PLANS,
}


def open_shop(**changes: Any) -> Catalog:
    """Load the shop, with some of its tables changed."""
    made = Catalog.model_validate({**DOCUMENT, **changes})
    with sessions() as session:
        catalog.load(session, made)
    return made


def sign_up(shop: Catalog) -> UUID:
    return once(signup.sign_up, shop, email=f"{uuid4().hex}@example.com", password_hash="x").id


def wallet(user: UUID, kind: str = "credits") -> int:
    with sessions() as session:
        return ledger.wallet_ids(session, user_id=user)[kind]


def buy(wallet_id: int, amount: int) -> int:
    return once(
        ledger.grant, wallet_id=wallet_id, amount=amount, source=ledger.Source.purchase, ref=f"buy:{uuid4().hex}"
    )


def subscribe(user: UUID, plan: str, **how: Any) -> int:
    given = {"origin": Origin.admin, "ref": f"test:{uuid4().hex}", **how}
    return once(plans.subscribe, user_id=user, plan=plan, **given)


def plan_of(user: UUID) -> str | None:
    with sessions() as session:
        held = plans.entitlements(session, user_id=user).held
        return held.plan if held else None


def subscriptions(user: UUID) -> int:
    with sessions() as session:
        return len(session.scalars(select(Subscription.id).where(Subscription.user_id == user)).all())


def lots_under(user: UUID) -> list[tuple[str, int]]:
    """The refs and amounts of a user's lots, oldest first."""
    with sessions() as session:
        ours = select(ledger.Wallet.id).where(ledger.Wallet.user_id == user)
        rows = session.execute(select(Lot.ref, Lot.issued).where(Lot.wallet_id.in_(ours)).order_by(Lot.id))
        return [(row.ref, row.issued) for row in rows]


def reset_at(wallet_id: int) -> datetime | None:
    """When the next allowance of a wallet comes."""
    with sessions() as session:
        return session.scalars(select(Wallet.reset_at).where(Wallet.id == wallet_id)).one()


def granted(amount: int, lot: int, balance: int) -> Move:
    """An allowance, as the books have it."""
    return Move(Reason.grant, Account.issued, Account.available, amount, lot, balance)


def expired(amount: int, lot: int, balance: int) -> Move:
    """What was left of one when its period ended."""
    return Move(Reason.expire, Account.available, Account.expired, amount, lot, balance)


def ask(user: UUID, action: str, **given: Any) -> tuple[Catalog, quotes.Quote]:
    with sessions() as session:
        sold = catalog.current(session)
        entitled = plans.entitlements(session, user_id=user)
    return sold, quotes.quote(sold, entitled, action=action, raw_input=given)


def spend(user: UUID, action: str = "tip", *, key: str | None = None, **given: Any) -> Receipt:
    return once(spends.spend, *ask(user, action, **given), user_id=user, idempotency_key=key)


def lazily(user: UUID) -> None:
    once(plans.grant_due, user_id=user)


def by_submitting(user: UUID) -> None:
    """Submit a job that costs nothing."""
    work.submit(work.an_order(user, price=0, at_once=1_000))


def in_batches(user: UUID) -> None:
    while once(plans.grant_batch):
        pass


def in_steps(user: UUID) -> None:
    """As beat does what batches leave."""
    page: list[UUID] = []
    while True:
        with sessions() as session:
            page = list(plans.users_to_reset(session, limit=2, after=page[-1] if page else None))
        if not page:
            return
        for each in page:
            once(plans.grant_due, user_id=each)


def by_beat(user: UUID) -> None:
    """Everything there is to do, all of it in transactions of their own."""
    plans.grant_all_due(sessions)


WAYS: dict[str, Callable[[UUID], None]] = {
    "lazily": lazily,
    "by submitting": by_submitting,
    "in steps": in_steps,
    "by beat": by_beat,
}
"""How an allowance that is due comes, each leaving nothing else behind on the wallet."""
