"""Payments over HTTP, with the mock gateway: from the wish to buy to credits, and what a frontend sees on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from structlog.testing import capture_logs

from models.database import now, sessions
from models.payments import inbox, mock_objects
from models.payments.inbox import EventState, GatewayEvent
from models.payments.tables import Checkout
from tasks.payments import sweep
from tests.http.conftest import Caller
from tests.payments import till
from tests.payments.hands import Hands
from web.shelf import shelf

GOOD = "4242424242424242"
DECLINED = "4000000000000002"


@pytest.fixture(autouse=True)
def store(caller: Caller) -> Iterator[None]:
    """The shop opens once its first customer is there, who got the sign-up credits of the default product."""
    till.open_store()
    shelf.look_again()
    yield
    shelf.look_again()


def test_a_pack_from_the_wish_to_the_credits(caller: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    begun = caller.post("/v1/checkouts", {"pack": "pro"}, **{"Idempotency-Key": "k1"})
    assert begun.status_code == 202, begun.json
    checkout = begun.json or {}
    assert (checkout["status"], checkout["checkout_url"], begun.headers["Retry-After"]) == ("creating", None, "1")
    assert checkout["price"] == {"amount": 2499, "currency": "EUR"}
    hands.work()
    opened = caller.get(f"/v1/checkouts/{checkout['id']}").json or {}
    assert opened["status"] == "open"
    assert opened["checkout_url"].startswith("http")
    again = caller.post("/v1/checkouts", {"pack": "pro"}, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert (again.json or {})["checkout_url"] == opened["checkout_url"]
    _press(hands, checkout["id"], "pay")
    assert caller.balance()["available"] == before + 160
    done = caller.get(f"/v1/checkouts/{checkout['id']}").json or {}
    assert (done["status"], done["checkout_url"]) == ("paid", None)
    payment = caller.get(f"/v1/payments/{done['payment_id']}").json or {}
    assert (payment["status"], payment["title"], payment["price"]) == ("succeeded", "Pro", checkout["price"])
    assert [each["id"] for each in (caller.get("/v1/payments").json or {})["payments"]] == [payment["id"]]
    for body, headers in list(hands.posted):
        told = caller.client.post("/v1/webhooks/stripe", data=body, headers=headers)
        assert (told.status_code, (told.json or {})["new"]) == (200, False)
    hands.work()
    assert caller.balance()["available"] == before + 160


def test_an_event_about_what_is_not_known_yet_waits_for_it(client: FlaskClient, hands: Hands) -> None:
    user = till.customer(till.open_store())
    subscription = till.billed(user)
    with sessions() as session:
        inbox.receive(session, event_id="evt_1", event_type="invoice.paid", object_id="in_1")
    with mock.patch("tasks.payments.look", return_value=[till.paid(subscription)]):
        for _ in range(2):
            hands.work()
            assert _event("evt_1") == (EventState.received, inbox.UNKNOWN)
            _make_due()
            sweep.run()
        assert till.moves(user) == []
        till.tell(subscription)
        hands.work()
    assert _event("evt_1") == (EventState.done, None)
    assert till.moves(user) == [("grant", 500)]


def test_an_event_that_breaks_is_put_off_and_done_later(caller: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    made = caller.post("/v1/checkouts", {"pack": "pro"}).json or {}
    hands.work()
    with mock.patch("models.payments.receiving.packs.give", side_effect=ZeroDivisionError), capture_logs() as logs:
        _press(hands, made["id"], "pay")
    broken = {each["event_id"] for each in logs if each["event"] == "event_broke"}
    assert broken
    assert (caller.get("/v1/payments").json or {})["payments"] == [], "nothing of it is left"
    assert {_event(each) for each in broken} == {(EventState.received, "internal_error")}
    _make_due()
    sweep.run()
    hands.work()
    [paid] = (caller.get("/v1/payments").json or {})["payments"]
    assert (paid["status"], caller.balance()["available"]) == ("succeeded", before + 160)


def test_a_declined_card_leaves_the_page_open_for_another(caller: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    checkout = _begin(caller, hands, pack="pro")
    _press(hands, checkout["id"], "pay", card=DECLINED)
    seen = caller.get(f"/v1/checkouts/{checkout['id']}").json or {}
    assert seen["status"] == "open"
    assert caller.balance()["available"] == before
    _press(hands, checkout["id"], "pay")
    assert caller.balance()["available"] == before + 160


def test_an_abandoned_page_expires(caller: Caller, hands: Hands) -> None:
    checkout = _begin(caller, hands, pack="pro")
    _press(hands, checkout["id"], "abandon")
    assert (caller.get(f"/v1/checkouts/{checkout['id']}").json or {})["status"] == "expired"


def test_a_payment_intent_and_its_confirmation_when_no_event_comes(caller: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    begun = caller.post("/v1/payment-intents", {"pack": "quick"}).json or {}
    hands.work()
    opened = caller.get(f"/v1/checkouts/{begun['id']}").json or {}
    assert (opened["status"], opened["mode"]) == ("open", "intent")
    assert opened["client_secret"].startswith("pi_")
    payment_id = opened["payment_id"]
    assert (caller.post(f"/v1/payments/{payment_id}/confirm").json or {})["status"] == "pending"
    hands.deaf = True
    _press(hands, begun["id"], "pay")
    assert caller.balance()["available"] == before, "no event has come"
    caller.post(f"/v1/payments/{payment_id}/confirm")
    hands.work()
    assert (caller.get(f"/v1/payments/{payment_id}").json or {})["status"] == "succeeded"
    assert caller.balance()["available"] == before + 30


def test_a_subscription_from_taking_it_up_to_its_end(caller: Caller, hands: Hands) -> None:
    before = caller.balance()["available"]
    assert caller.get("/v1/subscription").status_code == 404
    begun = caller.post("/v1/subscription", {"plan": "basic"}).json or {}
    hands.work()
    _press(hands, begun["id"], "pay")
    mine = caller.get("/v1/subscription").json or {}
    assert (mine["plan"], mine["billing"], mine["status"]) == ("basic", "monthly", "active")
    assert caller.balance()["available"] == before + 500
    assert caller.post("/v1/subscription", {"plan": "premium"}).status_code == 409

    _patch(caller, hands, {"plan": "premium"})
    mine = caller.get("/v1/subscription").json or {}
    assert (mine["plan"], mine["next_plan"]) == ("premium", None)
    assert caller.balance()["available"] in (before + 1200, before + 1199), "the difference, nearly all of it"

    _patch(caller, hands, {"plan": "basic"})
    mine = caller.get("/v1/subscription").json or {}
    assert (mine["plan"], mine["next_plan"]) == ("premium", "basic")

    _patch(caller, hands, {"cancel_at_period_end": True})
    assert (caller.get("/v1/subscription").json or {})["cancels_at"] is not None
    _patch(caller, hands, {"cancel_at_period_end": False})
    assert (caller.get("/v1/subscription").json or {})["cancels_at"] is None

    assert caller.client.delete("/v1/subscription?at=now", headers=caller.headers).status_code == 202
    hands.work()
    assert caller.get("/v1/subscription").status_code == 404
    invoices = (caller.get("/v1/invoices").json or {})["invoices"]
    assert [each["status"] for each in invoices] == ["paid", "paid"]
    assert len((caller.get("/v1/payments").json or {})["payments"]) == 2


def test_the_portal_is_asked_for_and_found(caller: Caller, hands: Hands) -> None:
    asked = caller.post("/v1/portal-sessions", {})
    assert asked.status_code == 202
    hands.work()
    found = caller.get(f"/v1/portal-sessions/{(asked.json or {})['id']}").json or {}
    assert found["url"].startswith("http")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/checkouts", {}, "pack"),
        ("/v1/checkouts", {"pack": "pro", "plan": "basic"}, "pack"),
        ("/v1/checkouts", {"pack": "gold"}, "pack"),
        ("/v1/checkouts", {"plan": "basic"}, "billing"),
        ("/v1/checkouts", {"pack": "pro", "billing": "monthly"}, "billing"),
        ("/v1/checkouts", {"pack": "pro", "success_url": "javascript:alert(1)"}, "success_url"),
        ("/v1/checkouts", {"pack": "pro", "amount": -5}, "amount"),
        ("/v1/payment-intents", {"pack": "pro"}, "pack"),
        ("/v1/subscription", {"plan": "free"}, "billing"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(caller: Caller, path: str, body: dict[str, Any], field: str) -> None:
    answer = caller.post(path, body)
    assert answer.status_code == 422
    assert field in [each["field"] for each in (answer.json or {})["errors"]]


def test_another_s_checkouts_and_payments_are_not_there(
    caller: Caller, sign_up: Callable[[], Caller], hands: Hands
) -> None:
    checkout = _begin(caller, hands, pack="pro")
    _press(hands, checkout["id"], "pay")
    paid = caller.get(f"/v1/checkouts/{checkout['id']}").json or {}
    other = sign_up()
    assert other.get(f"/v1/checkouts/{checkout['id']}").status_code == 404
    assert other.get(f"/v1/payments/{paid['payment_id']}").status_code == 404
    assert other.post(f"/v1/payments/{paid['payment_id']}/confirm").status_code == 404
    assert (other.get("/v1/payments").json or {})["payments"] == []


def _begin(caller: Caller, hands: Hands, **wish: Any) -> dict[str, Any]:
    begun = caller.post("/v1/checkouts", wish)
    assert begun.status_code == 202, begun.json
    hands.work()
    opened: dict[str, Any] = caller.get(f"/v1/checkouts/{(begun.json or {})['id']}").json or {}
    return opened


def _press(hands: Hands, checkout_id: str, outcome: str, *, card: str = GOOD) -> None:
    """Do what a customer does on the page, or with the form, of a checkout."""
    with sessions() as session:
        gateway_id = session.get_one(Checkout, UUID(checkout_id)).gateway_id
        assert gateway_id is not None
        mock_objects.press(session, object_id=gateway_id, outcome=outcome, card=card)
    hands.work()


def _patch(caller: Caller, hands: Hands, body: dict[str, Any]) -> None:
    answer = caller.client.patch("/v1/subscription", json=body, headers=caller.headers)
    assert answer.status_code == 202, answer.json
    assert json.loads(answer.data)["underway"] is True
    assert caller.client.patch("/v1/subscription", json=body, headers=caller.headers).status_code in (409, 422)
    hands.work()


def _event(event_id: str) -> tuple[EventState, str | None]:
    with sessions() as session:
        event = session.get_one(GatewayEvent, event_id)
        return event.state, event.trouble


def _make_due() -> None:
    with sessions() as session:
        session.execute(update(GatewayEvent).values(due_at=now(-1)))
