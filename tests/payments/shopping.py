"""What customers do over HTTP, with the mock gateway behind it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from models.database import sessions
from models.payments import mock_objects
from models.payments.tables import Checkout
from tests.http.conftest import Caller
from tests.payments.hands import Hands
from worker.payments.mock.cards import GOOD


def begin(caller: Caller, hands: Hands, **wish: Any) -> str:
    """A checkout whose page is open; gives its id."""
    begun = caller.post("/v1/checkouts", wish)
    assert begun.status_code == 202, begun.json
    hands.work()
    return str((begun.json or {})["id"])


def press(hands: Hands, gateway_id: str, outcome: str, *, card: str = GOOD) -> None:
    """Do what somebody does on a page of the mock gateway."""
    with sessions() as session:
        mock_objects.press(session, object_id=gateway_id, outcome=outcome, card=card)
    hands.work()


def press_on(hands: Hands, checkout_id: str, outcome: str, *, card: str = GOOD) -> None:
    """Do what a customer does on the page of a checkout."""
    with sessions() as session:
        gateway_id = session.get_one(Checkout, UUID(checkout_id)).gateway_id
    assert gateway_id is not None
    press(hands, gateway_id, outcome, card=card)


def buy(caller: Caller, hands: Hands, **wish: Any) -> dict[str, Any]:
    """Buy something on a page; gives the payment, or for a plan nothing."""
    checkout_id = begin(caller, hands, **wish)
    press_on(hands, checkout_id, "pay")
    done = caller.get(f"/v1/checkouts/{checkout_id}").json or {}
    assert done["status"] == "paid", done
    return caller.get(f"/v1/payments/{done['payment_id']}").json or {} if "pack" in wish else {}


def choose_card(caller: Caller, hands: Hands, card: str) -> None:
    """Choose the card to pay with from now on, in the portal."""
    asked = caller.post("/v1/portal-sessions", {}).json or {}
    hands.work()
    url = (caller.get(f"/v1/portal-sessions/{asked['id']}").json or {})["url"]
    press(hands, url.rsplit("/", 1)[1], "save", card=card)


def at_the_gateway(kind: str) -> list[dict[str, Any]]:
    """All objects of a kind that the mock gateway has."""
    with sessions() as session:
        return mock_objects.where(session, kind)
