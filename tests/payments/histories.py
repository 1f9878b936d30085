"""Histories: what many customers do at the mock gateway, and what each of them must have in the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest import mock
from uuid import UUID

from models.catalog import Billing, Catalog
from models.database import sessions
from models.payments import checkouts, mock_objects
from models.payments.checkouts import Wanted
from models.payments.tables import CheckoutMode
from tasks import payments as tasks
from tests.jobs.work import once
from tests.payments import till as store
from tests.plans import shop
from worker.payments.mock import bank, billing, counter
from worker.payments.mock.cards import DECLINED, GOOD
from worker.payments.mock.till import Till, till

PACK = 160


@dataclass(frozen=True, slots=True)
class Customer:
    """A user, and the credits and the debt that must be there once everything is known."""

    user: UUID
    credits: int
    plan: str = "free"


def customers(sold: Catalog, *, seed: int, count: int) -> list[Customer]:
    """Let so many customers act; nobody has been told anything of it yet."""
    chance = Random(seed)
    return [chance.choice(ACTS)(sold, shop.sign_up(sold), chance) for _ in range(count)]


def events() -> list[dict[str, Any]]:
    """All that the gateway would tell."""
    with sessions() as session:
        return mock_objects.where(session, mock_objects.EVENT)


def _open(sold: Catalog, user: UUID, chance: Random, **wish: Any) -> str:
    """A page at the gateway."""
    wanted = Wanted(
        mode=CheckoutMode.page,
        success_url="https://shop.example.com/a",
        cancel_url="https://shop.example.com/b",
        **wish,
    )
    checkout = once(checkouts.begin, sold, wanted, user_id=user).checkout.id
    # The gateway may have it, and be paid, before our own commit that says so.
    late = mock.patch.object(checkouts, "opened") if chance.random() < 0.5 else nullcontext()
    with late:
        tasks.open_checkout.run(str(checkout))
    with till() as at:
        pages = [page for page in at.where("checkout.session") if page["client_reference_id"] == str(checkout)]
    return str(pages[-1]["id"])


def _do(act: Callable[..., Any], *given: Any, **how: Any) -> Any:
    with till() as at:
        return act(at, *given, **how)


def _pay(sold: Catalog, user: UUID, chance: Random, **wish: Any) -> str:
    page = _open(sold, user, chance, **wish)
    if chance.random() < 0.3:
        _do(counter.pay, page, DECLINED)
    assert _do(counter.pay, page, GOOD)
    return page


def _charge(at: Till, page: str) -> dict[str, Any]:
    return at.look(at.look(at.look(page)["payment_intent"])["latest_charge"])


def buys(sold: Catalog, user: UUID, chance: Random) -> Customer:
    times = chance.randint(1, 2)
    for _ in range(times):
        _pay(sold, user, chance, pack="pro")
    return Customer(user, PACK * times)


def walks_away(sold: Catalog, user: UUID, chance: Random) -> Customer:
    _do(counter.expire, _open(sold, user, chance, pack="pro"))
    return Customer(user, 0)


def is_refunded(sold: Catalog, user: UUID, chance: Random) -> Customer:
    page = _pay(sold, user, chance, pack="pro")
    parts = chance.choice([[2499], [1000, 1499], [1, 2, 2496]])
    with till() as at:
        intent = at.look(page)["payment_intent"]
    for part in parts:
        _do(bank.give_back, intent, part)
    return Customer(user, 0)


def disputes(sold: Catalog, user: UUID, chance: Random) -> Customer:
    page = _pay(sold, user, chance, pack="pro")
    won = chance.random() < 0.5
    with till() as at:
        dispute = bank.open_dispute(at, at.take(_charge(at, page)["id"]))["id"]
    _do(bank.close_dispute, dispute, won=won)
    return Customer(user, PACK if won else 0)


def subscribes(sold: Catalog, user: UUID, chance: Random) -> Customer:
    _pay(sold, user, chance, plan="premium", billing=Billing.monthly)
    return Customer(user, 1200, "premium")


def leaves(sold: Catalog, user: UUID, chance: Random) -> Customer:
    page = _pay(sold, user, chance, plan="basic", billing=Billing.monthly)
    with till() as at:
        subscription = at.look(page)["subscription"]
    _do(billing.stop, subscription, at_period_end=False)
    return Customer(user, 500)


ACTS: list[Callable[[Catalog, UUID, Random], Customer]] = [
    buys, walks_away, is_refunded, disputes, subscribes, leaves,
]  # fmt: skip


def check(told: list[Customer]) -> None:
    """Everybody has exactly what their history comes to, and the books are clean."""
    for each in told:
        assert store.balance(each.user) == (each.credits, 0), each
        assert shop.plan_of(each.user) == each.plan, each
        refs = [ref for _, ref, _ in store.lots(each.user)]
        assert len(refs) == len(set(refs)), each
    store.books_are_clean()
