"""Packs: money becomes credits once, in whatever order and however often it is told."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from models.catalog import Billing
from models.database import sessions
from models.errors import IdempotencyKeyReused, InvalidInput
from models.payments import checkouts, payments
from models.payments.checkouts import Wanted
from models.payments.facts import Fact, IntentStatus, PageStatus
from models.payments.following import follow
from models.payments.tables import CheckoutMode, CheckoutState, Payment
from tests.jobs.work import once
from tests.payments import till
from tests.plans import shop

pytestmark = pytest.mark.usefixtures("database")

PRO = [("grant", 150), ("grant", 10)]


def test_a_paid_page_gives_the_pack_and_its_bonus_once() -> None:
    store = till.open_store()
    user = till.customer(store)
    checkout = till.begin(store, user, pack="pro")
    till.tell(till.paid_page(checkout))
    assert till.moves(user) == PRO
    assert till.lots(user) == [
        ("purchase", "payment:pi_1:credits", 150), ("promo", "payment:pi_1:credits:bonus", 10),
    ]  # fmt: skip
    assert till.mail(user) == ["receipt"]
    assert _state(user, checkout) is CheckoutState.paid
    till.books_are_clean()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_page_and_intent_tell_of_one_payment_in_any_order(order: tuple[int, ...]) -> None:
    store = till.open_store()
    user = till.customer(store)
    checkout = till.begin(store, user, pack="pro")
    declined = till.succeeded(checkout, status=IntentStatus.waiting, received=0, decline="card_declined")
    facts: list[Fact] = [till.paid_page(checkout), till.succeeded(checkout), declined]
    till.tell(*(facts[each] for each in order))
    assert till.moves(user) == PRO
    assert _payments(user) == [("pi_1", "succeeded", None)], "what has come stays, whatever is told late"


def test_a_page_that_is_complete_but_not_paid_gives_nothing_yet() -> None:
    store = till.open_store()
    user = till.customer(store)
    checkout = till.begin(store, user, pack="pro")
    till.tell(till.paid_page(checkout, paid=False))
    assert till.moves(user) == []
    till.tell(till.paid_page(checkout))
    assert till.moves(user) == PRO


def test_a_page_that_expired_or_failed_ends_its_checkout_and_money_that_comes_all_the_same_counts() -> None:
    store = till.open_store()
    user = till.customer(store)
    for how, state in (
        ({"status": PageStatus.expired, "paid": False}, CheckoutState.expired),
        ({"paid": False, "failed": True}, CheckoutState.failed),
    ):
        checkout = till.begin(store, user, pack="pro")
        till.tell(till.paid_page(checkout, intent=f"pi_{state}", **how))
        assert _state(user, checkout) is state
        till.tell(till.paid_page(checkout, intent=f"pi_{state}"))
        assert _state(user, checkout) is CheckoutState.paid
    assert till.moves(user) == PRO * 2


def test_the_pack_is_what_it_was_when_the_checkout_began() -> None:
    store = till.open_store()
    user = till.customer(store)
    checkout = till.begin(store, user, pack="pro")
    dearer = {"pro": {**till.PACKS["pro"], "credits": {"credits": 1}, "bonus": {}}}
    shop.open_shop(plans=till.PLANS, packs=dearer)
    till.tell(till.paid_page(checkout))
    assert till.moves(user) == PRO
    shop.open_shop(plans=till.PLANS, packs={})
    another = till.begin(till.open_store(), user, pack="pro")
    shop.open_shop(plans=till.PLANS, packs={})
    till.tell(till.paid_page(another, intent="pi_2"))
    assert till.moves(user) == PRO * 2, "a pack that is not sold any more was paid for all the same"


def test_two_checkouts_at_once_are_two_purchases() -> None:
    store = till.open_store()
    user = till.customer(store)
    first, second = (till.begin(store, user, pack="pro") for _ in range(2))
    till.tell(till.paid_page(first), till.paid_page(second, intent="pi_2"))
    assert till.moves(user) == PRO * 2


def test_a_payment_intent_is_in_the_history_from_the_start_and_may_fail_before_it_succeeds() -> None:
    store = till.open_store()
    user = till.customer(store)
    checkout = till.begin(store, user, mode=CheckoutMode.intent, pack="quick")
    once(checkouts.opened, checkout_id=checkout, gateway_id="pi_9", client_secret="pi_9_secret")
    assert _payments(user) == [("pi_9", "pending", None)]
    waiting = till.succeeded(
        checkout, "pi_9", status=IntentStatus.waiting, amount=300, received=0, currency="JPY", decline="card_declined"
    )
    till.tell(waiting)
    assert _payments(user) == [("pi_9", "failed", "card_declined")]
    assert till.moves(user) == []
    assert _state(user, checkout) is CheckoutState.open, "the customer may try another card"
    till.tell(till.succeeded(checkout, "pi_9", amount=300, received=300, currency="JPY"))
    assert _payments(user) == [("pi_9", "succeeded", None)]
    assert till.moves(user) == [("grant", 30)]
    with sessions() as session:
        assert checkouts.get(session, user_id=user, checkout_id=checkout).client_secret is None


def test_a_stranger_s_page_and_intent_are_none_of_ours() -> None:
    till.open_store()
    for fact in (till.paid_page(uuid4()), till.succeeded(uuid4())):
        assert not once(follow, fact)
    with sessions() as session:
        assert session.scalars(select(Payment.id)).all() == []


def test_the_same_key_begins_the_same_checkout_and_another_wish_is_refused() -> None:
    store = till.open_store()
    user = till.customer(store)
    wanted = Wanted(mode=CheckoutMode.page, pack="pro")
    first = once(checkouts.begin, store, wanted, user_id=user, idempotency_key="k")
    again = once(checkouts.begin, store, wanted, user_id=user, idempotency_key="k")
    assert (again.replayed, again.checkout.id) == (True, first.checkout.id)
    with pytest.raises(IdempotencyKeyReused):
        once(checkouts.begin, store, Wanted(mode=CheckoutMode.page, pack="quick"), user_id=user, idempotency_key="k")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Wanted(mode=CheckoutMode.page, pack="gigantic"), "pack"),
        (Wanted(mode=CheckoutMode.intent, pack="pro"), "pack"),
        (Wanted(mode=CheckoutMode.page, plan="gold", billing=Billing.monthly), "plan"),
        (Wanted(mode=CheckoutMode.page, plan="free", billing=Billing.monthly), "billing"),
        (Wanted(mode=CheckoutMode.page, plan="basic"), "billing"),
    ],
)
def test_what_is_not_sold_is_refused_by_name(wanted: Wanted, field: str) -> None:
    store = till.open_store()
    user = till.customer(store)
    with pytest.raises(InvalidInput) as refused:
        once(checkouts.begin, store, wanted, user_id=user)
    assert [fault.field for fault in refused.value.faults] == [field]


def _state(user: UUID, checkout: UUID) -> CheckoutState:
    with sessions() as session:
        return checkouts.get(session, user_id=user, checkout_id=checkout).state


def _payments(user: UUID) -> list[tuple[str, str, str | None]]:
    with sessions() as session:
        found, _ = payments.page(session, user_id=user, limit=100)
    return [(each.payment.gateway_id, str(each.standing), each.payment.decline) for each in found]
