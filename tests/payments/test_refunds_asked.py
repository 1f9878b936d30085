"""Refunds that the house decides over HTTP: the gateway gives the money back once, and the credits follow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from models.audit_log import Actor, AuditEntry, By
from models.database import sessions
from models.payments import errands, refunding
from models.payments.errands import Errand
from models.payments.facts import RefundFact
from models.payments.tables import Payment
from models.users import Role
from tests.accounts.people import change, code_of, id_of, join
from tests.http.conftest import Caller
from tests.jobs.work import once
from tests.payments import till
from tests.payments.hands import Hands
from tests.payments.shopping import at_the_gateway, buy
from tests.races.starting_line import race, tally
from web.shelf import shelf
from worker.payments.gateway import Refused, Unreachable
from worker.payments.mock import MockGateway

PRICE = 2499


@pytest.fixture
def admin(client: FlaskClient) -> Iterator[Caller]:
    """An admin of a product that sells; it does so once they have signed up."""
    made = join(client, "root@example.com")
    change(made, role=Role.admin)
    till.open_store()
    shelf.look_again()
    yield made
    shelf.look_again()


def ask(who: Caller, payment: dict[str, Any], *, key: str | None = None, **body: Any) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    return who.post(f"/v1/admin/payments/{payment['id']}/refunds", {"reason": "Ticket 7", **body}, **headers)


def seen(caller: Caller, payment: dict[str, Any]) -> tuple[str, int, int]:
    """What the payment is said to be, what of it went back, and how many credits its owner has of it."""
    shown = caller.get(f"/v1/payments/{payment['id']}").json or {}
    return shown["status"], shown["refunded"], caller.balance()["available"]


def given_back() -> list[int]:
    return [each["amount"] for each in at_the_gateway("refund")]


def entries() -> list[tuple[Any, ...]]:
    with sessions() as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.verb == "payment.refund").order_by(AuditEntry.id))
        return [(each.actor_id, each.target, each.before, each.after, each.reason) for each in rows]


def test_only_an_admin_gives_money_back(caller: Caller, admin: Caller, hands: Hands) -> None:
    payment = buy(caller, hands, pack="pro")
    support = join(caller.client, "help@example.com")
    change(support, role=Role.support)
    path = f"/v1/admin/payments/{payment['id']}"
    assert code_of(caller.get(path)) == code_of(ask(caller, payment)) == (403, "role_required")
    assert (support.get(path).json or {})["reference"] == payment["reference"]
    assert code_of(ask(support, payment)) == (403, "role_required")
    assert caller.client.post(f"{path}/refunds", json={"reason": "x"}).status_code == 401
    for body, field in (
        ({"reason": " "}, "reason"), ({"amount": 0}, "amount"), ({"amount": PRICE + 1}, "amount"), ({"sum": 5}, "sum")
    ):  # fmt: skip
        answer = ask(admin, payment, **body)
        assert (answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]) == (422, [field])
    assert code_of(ask(admin, {"id": UUID(int=7)})) == (404, "not_found")
    hands.work()
    assert (given_back(), entries()) == ([], [])


def test_money_goes_back_once_for_each_key_and_the_credits_follow(caller: Caller, admin: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    payment = buy(caller, hands, pack="pro")
    asked = ask(admin, payment, key="k1", amount=1000)
    assert (asked.status_code, (asked.json or {})["status"]) == (202, "waiting")
    assert code_of(ask(admin, payment, amount=500)) == (409, "underway"), "one at a time, whoever asks"
    again = ask(admin, payment, key="k1", amount=1000)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert seen(caller, payment) == ("succeeded", 0, before + 160), "nothing has gone back yet"
    hands.work()
    for _ in range(2):
        done = ask(admin, payment, key="k1", amount=1000)
        assert (done.status_code, (done.json or {})["id"]) == (201, (asked.json or {})["id"])
        assert ((done.json or {})["status"], (done.json or {})["amount"]) == ("done", 1000)
        hands.work()
    assert given_back() == [1000]
    status, refunded, available = seen(caller, payment)
    assert (status, refunded) == ("partially_refunded", 1000)
    assert before + 160 - available == round(160 * 1000 / PRICE)
    assert code_of(ask(admin, payment, key="k1")) == (422, "idempotency_key_reused")

    assert ask(admin, payment, key="k2").status_code == 202
    hands.work()
    assert given_back() == [1000, PRICE - 1000]
    assert seen(caller, payment) == ("refunded", PRICE, before)
    assert code_of(ask(admin, payment, key="k3")) == (422, "invalid_input"), "nothing is left of it"
    target = f"payment:{payment['id']}"
    assert entries() == [
        (id_of(admin), target, {"left": PRICE}, {"left": PRICE - 1000}, "Ticket 7"),
        (id_of(admin), target, {"left": PRICE - 1000}, {"left": 0}, "Ticket 7"),
    ]
    assert till.mail(id_of(caller)).count("refund") == 2
    till.books_are_clean()


def test_what_the_gateway_refuses_changes_nothing_and_can_be_asked_again(
    caller: Caller, admin: Caller, hands: Hands
) -> None:
    payment = buy(caller, hands, pack="pro")
    paid = seen(caller, payment)
    with mock.patch.object(MockGateway, "give_back", side_effect=Refused("charge_disputed", "No.")):
        ask(admin, payment, key="k1")
        hands.work()
    failed = ask(admin, payment, key="k1").json or {}
    assert (failed["status"], failed["problem"]) == ("failed", "charge_disputed")
    assert (seen(caller, payment), given_back()) == (paid, [])
    assert ask(admin, payment, key="k2").status_code == 202
    hands.work()
    assert (seen(caller, payment)[0], given_back()) == ("refunded", [PRICE])


def test_a_gateway_that_was_cut_off_gives_the_money_back_once(caller: Caller, admin: Caller, hands: Hands) -> None:
    """It does not answer at all, then it does it and its answer is lost, then it answers."""
    before = caller.balance()["available"]
    payment = buy(caller, hands, pack="pro")
    real, keys = MockGateway.give_back, []

    def cut(self: MockGateway, *, intent_id: str, amount: int, key: str) -> RefundFact:
        keys.append(key)
        if len(keys) == 1:
            raise Unreachable("gateway_unreachable", "Nobody answers.")
        done = real(self, intent_id=intent_id, amount=amount, key=key)
        if len(keys) == 2:
            raise Unreachable("gateway_timeout", "No answer in time.")
        return done

    hands.deaf = True
    with mock.patch.object(MockGateway, "give_back", cut):
        asked = ask(admin, payment).json or {}
        hands.work()
        for _ in range(3):
            assert errands_left(asked["id"]) == (len(keys) < 3)
            once(errands.forgotten, limit=10, older_than=0)
            hands.work()
    assert keys == [f"errand:{asked['id']}"] * 3
    assert given_back() == [PRICE]
    assert seen(caller, payment) == ("refunded", PRICE, before)


def errands_left(errand_id: str) -> bool:
    with sessions() as session:
        return errands.waiting(session, UUID(errand_id)) is not None


def test_what_nobody_has_paid_cannot_go_back(caller: Caller, admin: Caller, hands: Hands) -> None:
    begun = caller.post("/v1/payment-intents", {"pack": "quick"}).json or {}
    hands.work()
    opened = caller.get(f"/v1/checkouts/{begun['id']}").json or {}
    answer = ask(admin, {"id": opened["payment_id"]})
    assert (answer.status_code, (answer.json or {})["errors"][0]["field"]) == (422, "payment_id")


def test_two_admins_at_once_give_it_back_once(postgresql: str) -> None:
    shop = till.open_store()
    user = till.customer(shop)
    till.tell(till.paid_page(till.begin(shop, user, pack="pro")))
    with sessions() as session:
        payment_id = session.scalars(select(Payment.id)).one()
    decide = partial(refunding.give_back, payment_id=payment_id, by=By(Actor.admin, user))
    outcomes = tally([type(each).__name__ for each in race(*[decide] * 6)])
    assert outcomes == {"Decided": 1, "Underway": 5}
    keyed = partial(decide, idempotency_key="k", amount=5)
    with sessions() as session:
        errands.end(session, session.scalars(select(Errand.id)).one(), problem="gateway_unavailable")
    decided = race(*[keyed] * 6)
    assert len({each.errand.id for each in decided}) == 1
    assert tally([each.replayed for each in decided]) == {"False": 1, "True": 5}
