"""What the gateway has told: found, and handled once more without anything happening twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from models.audit import audit
from models.database import now, sessions
from models.payments import inbox, mock_objects
from models.payments.inbox import EventState, GatewayEvent
from models.payments.tables import Checkout
from tests.accounts.people import code_of
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.admin.test_adjustments import moves
from tests.audits import prove
from tests.http.conftest import Caller
from tests.payments import till
from tests.payments.hands import Hands, hands
from web.shelf import shelf

__all__ = ["hands"]

WHY = {"reason": "Ticket 7"}


@pytest.fixture(autouse=True)
def store(caller: Caller) -> Iterator[None]:
    till.open_store()
    shelf.look_again()
    yield
    shelf.look_again()


def buy(caller: Caller, hands: Hands) -> None:
    begun = caller.post("/v1/checkouts", {"pack": "pro"}).json or {}
    hands.work()
    with sessions() as session:
        gateway_id = session.get_one(Checkout, UUID(begun["id"])).gateway_id
        assert gateway_id is not None
        mock_objects.press(session, object_id=gateway_id, outcome="pay", card="4242424242424242")
    hands.work()


def event(event_id: str) -> GatewayEvent:
    with sessions() as session:
        return session.execute(select(GatewayEvent).where(GatewayEvent.id == event_id)).scalar_one()


def told(*ids: str) -> None:
    """Events of a past that was a minute long for each."""
    for number, each in enumerate(ids):
        with sessions() as session:
            inbox.receive(session, event_id=each, event_type=f"type.{number % 2}", object_id=f"in_{number}")
            at = update(GatewayEvent).where(GatewayEvent.id == each)
            session.execute(at.values(received_at=now(60.0 * number - 3600)))


def test_an_event_that_was_done_is_handled_again_and_moves_nothing(caller: Caller, admin: Caller, hands: Hands) -> None:
    buy(caller, hands)
    before = moves(caller)
    assert [amount for *_, amount, _ in before][-2:] == [150, 10], "the pack and its bonus"
    answer = ask(admin, "GET", "/events?state=done")
    done = [each["id"] for each in (answer.json or {})["events"]]
    assert done
    for each in done:
        replayed = ask(admin, "POST", f"/events/{each}/replay", WHY)
        assert (replayed.status_code, (replayed.json or {})["state"]) == (202, "received")
        hands.work()
        assert event(each).state is EventState.done
    assert moves(caller) == before
    assert len((caller.get("/v1/payments").json or {})["payments"]) == 1
    assert [(each["actor"], each["verb"], each["target"], each["reason"]) for each in entries()] == [
        ("admin", "event.replay", f"event:{each}", "Ticket 7") for each in done
    ]
    assert all(each["before"]["state"] == "done" and each["after"]["state"] == "received" for each in entries())
    prove(audit)


def test_events_are_found_page_by_page(support: Caller) -> None:
    told("evt_c", "evt_a", "evt_b")
    with sessions() as session:
        inbox.end(session, "evt_a", EventState.failed, trouble="gateway_refused")
        session.execute(update(GatewayEvent).where(GatewayEvent.id != "evt_c").values(received_at=now(-60)))

    def found(query: str) -> list[str]:
        answer = ask(support, "GET", f"/events?{query}")
        assert answer.status_code == 200, answer.json
        return [each["id"] for each in (answer.json or {})["events"]]

    assert found("") == ["evt_b", "evt_a", "evt_c"]
    assert found("state=failed") == ["evt_a"] == found("type=type.1")
    assert found("object_id=in_2") == ["evt_b"]
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page: dict[str, Any] = ask(support, "GET", f"/events?limit=1{after}").json or {}
        seen += [each["id"] for each in page["events"]]
        after = f"&after={page['next']}"
    assert (seen, page["next"]) == (["evt_b", "evt_a", "evt_c"], None)
    [failed] = (ask(support, "GET", "/events?state=failed").json or {})["events"]
    assert (failed["trouble"], failed["object"], failed["attempts"]) == ("gateway_refused", "event", 1)
    for bad in ("limit=0", "state=lost", "after=evt_x", "what=1"):
        assert ask(support, "GET", f"/events?{bad}").status_code == 422


def test_only_admins_and_the_key_replay(client: FlaskClient, caller: Caller, support: Caller, admin: Caller) -> None:
    told("evt_a")
    with sessions() as session:
        inbox.end(session, "evt_a", EventState.failed, trouble="internal_error")
    for who in (caller, support):
        assert code_of(ask(who, "POST", "/events/evt_a/replay", WHY)) == NO_ROLE
    assert code_of(ask(caller, "GET", "/events")) == NO_ROLE
    assert code_of(client.post("/v1/admin/events/evt_a/replay", json=WHY)) == STRANGER
    assert ask(admin, "POST", "/events/evt_a/replay", {}).status_code == 422
    assert code_of(ask(admin, "POST", "/events/evt_x/replay", WHY)) == (404, "not_found")
    assert (event("evt_a").state, entries()) == (EventState.failed, [])
    assert by_key(client, "POST", "/events/evt_a/replay", WHY).status_code == 202
    assert (event("evt_a").state, event("evt_a").attempts) == (EventState.received, 0)
    assert [(each["actor"], each["before"]) for each in entries()] == [
        ("admin_key", {"state": "failed", "attempts": 1, "trouble": "internal_error"})
    ]


def test_commands_do_the_same(app: Flask, caller: Caller) -> None:
    def flask(*arguments: str) -> tuple[int, str]:
        ended = app.test_cli_runner().invoke(args=["events", *arguments])
        return ended.exit_code, ended.output

    told("evt_a", "evt_b")
    code, said = flask("list", "--limit", "1")
    assert (code, "evt_b" in said, "--after evt_b" in said, "evt_a" in said) == (0, True, True, False)
    assert "evt_a" in flask("list", "--object", "in_0", "--state", "received")[1]
    assert flask("replay", "evt_a", "--reason", "Again") == (0, "evt_a is to be handled.\n")
    assert flask("replay", "evt_x", "--reason", "Again")[0] == 1
    assert [(each["actor"], each["target"]) for each in entries()] == [("command", "event:evt_a")]
