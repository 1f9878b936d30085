"""What a user has, as the house sees it: found, shown, given and ended; by whom, and what is written down."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.database import now
from models.errors import AlreadySubscribed
from models.payments import checkouts
from tests.accounts.people import change, code_of, id_of, join
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.jobs.work import once
from tests.payments import till
from tests.plans.clock import Clock

WHY = {"reason": "Ticket 7"}
PLANS: dict[str, Any] = {
    "free": {"title": "Free", "rank": 0, "allowances": [{"wallet": "credits", "amount": 50, "period": "daily"}]},
    "plus": {"title": "Plus", "rank": 1, "allowances": [{"wallet": "credits", "amount": 80, "period": "daily"}]},
    "basic": {**till.PLANS["basic"], "rank": 2},
}


@pytest.fixture(autouse=True)
def _sold(client: FlaskClient) -> None:
    sell(plans=PLANS, packs=till.PACKS, signup={"plan": "free"}, signup_grants=[])


def found(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [each["email"].partition("@")[0] for each in (answer.json or {})["users"]]


def plan_of(answer: TestResponse) -> tuple[int, str | None, str | None]:
    plan = (answer.json or {})["plan"]
    return answer.status_code, plan and plan["name"], plan and plan["origin"]


def faults(answer: TestResponse) -> tuple[int, list[str]]:
    return answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]


def pays(whom: Caller) -> None:
    """Let somebody buy a pack, and take up a plan that is paid for."""
    user_id = id_of(whom)
    once(checkouts.keep_customer, user_id=user_id, gateway_id=f"cus_{user_id.hex}")
    subscription = till.billed(user_id)
    till.tell(subscription, till.paid(subscription))


def test_accounts_are_found_by_a_part_of_the_name_or_address_and_by_what_they_are(
    client: FlaskClient, admin: Caller, support: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, cia = (join(client, f"{name}@example.com") for name in ("ann", "bob", "cia"))
    for who, name in ((ann, "Ann Lovelace"), (bob, "100%_Bob")):
        assert client.patch("/v1/me", json={"name": name}, headers=who.headers).status_code == 200
    change(bob, suspended_at=now())
    ask(admin, "PUT", f"/users/{id_of(cia)}/plan", {"plan": "plus", **WHY})

    def search(query: str) -> list[str]:
        return found(ask(support, "GET", f"/users?{query}"))

    assert search("contains=LOVE") == ["ann"]
    assert search("contains=%25_b") == ["bob"], "no pattern"
    assert search("contains=n%25") == []
    assert search("contains=B") == ["bob"]
    assert search("contains=example.com&role=user") == ["cia", "bob", "ann"]
    assert search("role=support") == ["sue"]
    assert search("suspended=true") == ["bob"]
    assert search("suspended=false&role=user") == ["cia", "ann"]
    assert search("plan=plus") == ["cia"]
    assert search("plan=free&contains=n") == ["ann"]
    assert search("search=a&suspended=true") == []
    for wrong in ("role=owner", "suspended=maybe", "contains=", "plan=A%20plan"):
        assert ask(support, "GET", f"/users?{wrong}").status_code == 422, wrong
    # However few fit, a page looks at so many accounts and leaves the rest to the next.
    monkeypatch.setattr("models.directory.MOST_LOOKED_AT", 2)
    pages, after = [], ""
    while True:
        answer = ask(support, "GET", f"/users?role=user&limit=1{after}")
        pages.append(found(answer))
        if (following := (answer.json or {})["next"]) is None:
            break
        after = f"&after={following}"
    assert [name for page in pages for name in page] == ["cia", "bob", "ann"]
    assert [] in pages, "a page on which nobody fits"


def test_one_account_is_shown_with_what_it_pays_for_and_where_the_rest_is(
    client: FlaskClient, admin: Caller, support: Caller
) -> None:
    ann, bob = join(client), join(client, "bob@example.com")
    pays(ann)
    seen: dict[str, Any] = ask(support, "GET", f"/users/{id_of(ann)}").json or {}
    assert (seen["plan"]["name"], seen["plan"]["origin"]) == ("basic", "payment")
    assert (seen["subscription"]["plan"], seen["subscription"]["status"]) == ("basic", "active")
    assert ask(support, "GET", f"/users/{id_of(bob)}").json["subscription"] is None  # type: ignore[index]
    told = {name: client.get(url, headers=support.headers).json or {} for name, url in seen["urls"].items()}
    mine: dict[str, Any] = ann.get("/v1/transactions").json or {}
    assert told["transactions"] == mine
    assert [each["amount"] for each in mine["transactions"]] == [500, 50]
    assert [each["price"]["amount"] for each in told["payments"]["payments"]] == [1500]
    assert told["audit_log"] == {"entries": [], "next": None}
    path = f"/users/{id_of(ann)}/transactions"
    page: dict[str, Any] = ask(support, "GET", f"{path}?limit=1&wallet=credits").json or {}
    rest: dict[str, Any] = ask(support, "GET", f"{path}?limit=5&after={page['next']}").json or {}
    assert page["transactions"] + rest["transactions"] == mine["transactions"]
    assert ask(support, "GET", f"{path}?type=debit").json == {"transactions": [], "next": None}
    for url in (path, f"/users/{id_of(ann)}/payments"):
        assert code_of(client.get(f"/v1/admin{url}")) == STRANGER
        assert code_of(ask(bob, "GET", url)) == NO_ROLE
        assert by_key(client, "GET", url).status_code == 200
        assert ask(support, "GET", f"{url}?limit=0").status_code == 422
        assert code_of(ask(support, "GET", url.replace(str(id_of(ann)), str(uuid4())))) == (404, "not_found")


def test_a_plan_is_given_and_ended_and_both_are_written_down(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    path, target = f"/users/{id_of(ann)}/plan", f"user:{id_of(ann)}"
    for _ in range(2):
        assert plan_of(ask(admin, "PUT", path, {"plan": "plus", **WHY})) == (200, "plus", "admin")
    assert ann.balance()["available"] == 80, "the day's difference, once"
    for _ in range(2):
        ended = by_key(client, "DELETE", path, WHY)
        assert plan_of(ended) == (200, "free", "signup")
    free = {"plan": "free", "origin": "signup", "billing": None, "ends_at": None}
    plus = {"plan": "plus", "origin": "admin", "billing": None, "ends_at": None}
    assert entries() == [
        {"actor": "admin", "actor_id": id_of(admin), "verb": "plan.assign", "target": target, "before": free,
         "after": plus, **WHY},
        {"actor": "admin_key", "actor_id": None, "verb": "plan.end", "target": target, "before": plus,
         "after": free, **WHY},
    ]  # fmt: skip
    # With a key months are not counted anew.
    ends = [
        (ask(admin, "PUT", path, {"plan": "plus", "months": 2, **WHY}, **{"Idempotency-Key": "k"}).json or {})["plan"]
        for _ in range(2)
    ]
    assert ends[0]["ends_at"] is not None
    assert ends[0] == ends[1]
    assert len(entries()) == 3


def test_what_is_paid_for_is_left_to_the_gateway(app: Flask, client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    pays(ann)
    path = f"/users/{id_of(ann)}/plan"
    refused = (409, AlreadySubscribed.code)
    assert code_of(ask(admin, "PUT", path, {"plan": "plus", **WHY})) == refused
    assert code_of(ask(admin, "DELETE", path, WHY)) == refused
    ended = app.test_cli_runner().invoke(args=["plans", "end", ann.email])
    assert (ended.exit_code, "Nothing was changed" in ended.output) == (1, True)
    assert (entries(), ann.balance()["available"]) == ([], 550)


def test_who_may_give_plans_and_what_is_refused(client: FlaskClient, admin: Caller, support: Caller) -> None:
    ann = join(client)
    path, body = f"/users/{id_of(ann)}/plan", {"plan": "plus", **WHY}
    for who in (ann, support):
        assert code_of(ask(who, "PUT", path, body)) == NO_ROLE
        assert code_of(ask(who, "DELETE", path, WHY)) == NO_ROLE
        assert code_of(ask(who, "POST", "/resets", WHY)) == NO_ROLE
    assert code_of(client.put(f"/v1/admin{path}", json=body)) == STRANGER
    assert code_of(ask(admin, "PUT", f"/users/{id_of(admin)}/plan", body)) == (403, "own_account")
    assert code_of(ask(admin, "PUT", f"/users/{uuid4()}/plan", body)) == (404, "not_found")
    for wrong, field in (
        ({"plan": "gold"}, "plan"), ({"plan": "plus", "months": 0}, "months"),
        ({"plan": "plus", "billing": "daily"}, "billing"), ({"plan": "plus", "reason": ""}, "reason"),
    ):  # fmt: skip
        assert faults(ask(admin, "PUT", path, {**WHY, **wrong})) == (422, [field])
    change(ann, closing_at=now())
    assert code_of(ask(admin, "PUT", path, body)) == (409, "account_closing")
    assert entries() == []


def test_the_commands_for_plans_write_it_down_too(app: Flask, client: FlaskClient) -> None:
    ann = join(client)

    def flask(*arguments: str) -> int:
        ended: int = app.test_cli_runner().invoke(args=["plans", *arguments]).exit_code
        return ended

    for _ in range(2):
        assert flask("assign", ann.email, "plus", "--months", "1", "--ref", "ticket 7", "--reason", "Ticket 7") == 0
    assert flask("end", ann.email) == 0
    assert [(each["actor"], each["verb"], each["reason"]) for each in entries()] == [
        ("command", "plan.assign", "Ticket 7"), ("command", "plan.end", None),
    ]  # fmt: skip


def test_allowances_that_are_due_are_granted_at_once_and_once(clock: Clock, client: FlaskClient, admin: Caller) -> None:
    people = [join(client, f"{name}@example.com") for name in ("ann", "bob", "cia")]
    today, tomorrow = ("grant", 50), [("expire", -50), ("grant", 50)]
    assert [till.moves(id_of(each)) for each in people] == [[today]] * 3
    clock.move(days=1)
    for seen in (1, 0):
        answer = ask(admin, "POST", "/resets", {"user_id": str(id_of(people[0])), **WHY})
        assert answer.json == {"object": "reset", "seen": seen, "done": True}
    assert [till.moves(id_of(each)) for each in people] == [[today, *tomorrow], [today], [today]]
    for seen in (3, 0):  # the admin has the plan of sign-up too
        assert by_key(client, "POST", "/resets", WHY).json == {"object": "reset", "seen": seen, "done": True}
    assert [till.moves(id_of(each)) for each in people] == [[today, *tomorrow]] * 3
    target = f"user:{id_of(people[0])}"
    assert [(each["actor"], each["verb"], each["target"], each["before"], each["after"]) for each in entries()] == [
        ("admin", "allowances.reset", target, {"credits": 0, "tips": 0}, {"credits": 50, "tips": 0}),
        ("admin", "allowances.reset", target, {"credits": 50, "tips": 0}, {"credits": 50, "tips": 0}),
        ("admin_key", "allowances.reset", "allowances", None, {"seen": 3, "done": True}),
        ("admin_key", "allowances.reset", "allowances", None, {"seen": 0, "done": True}),
    ]
    assert code_of(ask(admin, "POST", "/resets", {"user_id": str(uuid4()), **WHY})) == (404, "not_found")
    assert faults(ask(admin, "POST", "/resets", {})) == (422, ["reason"])
