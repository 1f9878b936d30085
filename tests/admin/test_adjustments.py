"""Adjustments: what is given and taken, to the credit, once for each key; by whom, and what is written down."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models import ledger
from models.database import moment, now, sessions
from models.ledger import Lot, Source, Transfer, Wallet
from tests.accounts.people import change, code_of, id_of, join
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.jobs.work import once

WHY = "Ticket 7"


@pytest.fixture(autouse=True)
def _sold(client: FlaskClient) -> None:
    sell(signup_grants=[])


def adjust(who: Caller, whom: Caller, amount: int, *, key: str = "k1", wallet: str = "credits", **more: Any) -> Any:
    body = {"wallet": wallet, "amount": amount, "reason": WHY, **more}
    return ask(who, "POST", f"/users/{id_of(whom)}/adjustments", body, **{"Idempotency-Key": key})


def moves(whom: Caller) -> list[tuple[str, str, str, int, int]]:
    """Every transfer of a user: why, from where, to where, how many, and the balance after it."""
    with sessions() as session:
        rows = session.execute(
            select(Transfer.reason, Transfer.source, Transfer.target, Transfer.amount, Transfer.balance_after)
            .join(Wallet, Wallet.id == Transfer.wallet_id)
            .where(Wallet.user_id == id_of(whom))
            .order_by(Transfer.id)
        ).all()
    return [(str(a), str(b), str(c), amount, after) for a, b, c, amount, after in rows]


def give(whom: Caller, amount: int, source: Source = Source.purchase) -> int:
    wallet_id = once(ledger.open_wallet, user_id=id_of(whom), kind="credits")
    return int(once(ledger.grant, wallet_id=wallet_id, amount=amount, source=source, ref=f"test:{uuid4().hex}"))


def faults(answer: TestResponse) -> tuple[int, list[str]]:
    return answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]


def test_credits_are_given_once_for_each_key(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    first, again = adjust(admin, ann, 40), adjust(admin, ann, 40)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    seen = dict(first.json)
    assert {seen.pop("id"), seen.pop("created_at")}
    assert seen == {
        "object": "adjustment", "user_id": str(id_of(ann)), "wallet": "credits", "amount": 40, "expires_at": None,
        "available": 40, "debt": 0, "reason": WHY,
    }  # fmt: skip
    assert moves(ann) == [("grant", "issued", "available", 40, 40)]
    others: list[dict[str, Any]] = [
        {"amount": 41}, {"amount": -40}, {"wallet": "tips"}, {"expires_at": "2090-01-01T00:00:00Z"},
    ]  # fmt: skip
    for other in others:
        assert code_of(adjust(admin, ann, **{"amount": 40, **other})) == (422, "idempotency_key_reused")
    assert adjust(admin, ann, 2, key="k2").json["available"] == 42
    assert adjust(admin, join(client, "bob@example.com"), 3).json["available"] == 3, "keys are each user's own"
    assert moves(ann) == [("grant", "issued", "available", 40, 40), ("grant", "issued", "available", 2, 42)]
    shown = ann.get("/v1/transactions").json["transactions"]  # type: ignore[index]
    assert [(each["description"], each["amount"], each["source"], each["metadata"]) for each in shown] == [
        ("Adjustment", 2, "admin", {}), ("Adjustment", 40, "admin", {}),
    ]  # fmt: skip


def test_what_is_taken_goes_out_of_the_lots_as_they_would_burn(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    bought, gift = give(ann, 50), give(ann, 20, Source.promo)
    before = moves(ann)
    for _ in range(2):
        assert adjust(admin, ann, -30).json["available"] == 40
    assert moves(ann)[len(before) :] == [
        ("clawback", "available", "clawed_back", 20, 50), ("clawback", "available", "clawed_back", 10, 40),
    ]  # fmt: skip
    with sessions() as session:
        lots = session.execute(select(Lot.id, Lot.available, Lot.clawed_back).order_by(Lot.id)).all()
    assert [tuple(lot) for lot in lots] == [(bought, 40, 10), (gift, 0, 20)]
    assert ann.balance() == {"available": 40, "held": 0, "debt": 0}
    shown = ann.get("/v1/transactions").json["transactions"]  # type: ignore[index]
    assert [(each["description"], each["amount"]) for each in shown[:2]] == [("Adjustment", -10), ("Adjustment", -20)]


def test_no_more_is_taken_than_is_available_and_it_makes_no_debt(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    give(ann, 12)
    assert ann.submit().status_code == 202  # holds 5
    before = moves(ann)
    assert faults(adjust(admin, ann, -8)) == (422, ["amount"])
    assert (moves(ann), entries()) == (before, [])
    assert adjust(admin, ann, -7).status_code == 201
    assert ann.balance() == {"available": 0, "held": 5, "debt": 0}


def test_what_is_given_pays_debt_first_and_expires(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    lot = give(ann, 10)
    once(ledger.spend, wallet_id=ledger_wallet(ann), amount=10, ref="gone")
    once(ledger.clawback, lot_id=lot, amount=10, ref="refund:1")
    made = adjust(admin, ann, 25, expires_at="2090-01-02T03:04:05+01:00").json
    assert (made["available"], made["debt"], made["expires_at"]) == (15, 0, "2090-01-02T02:04:05Z")
    assert moves(ann)[2:] == [
        ("grant", "issued", "available", 25, 25), ("clawback", "available", "clawed_back", 10, 15),
    ]  # fmt: skip
    [entry] = entries()
    assert (entry["before"], entry["after"]["available"], entry["after"]["debt"]) == (
        {"available": 0, "debt": 10}, 15, 0,
    )  # fmt: skip
    # What has expired meanwhile is neither there to be taken nor counted as there before.
    with sessions() as session:
        soon = moment(session, plus=0.5)
    adjust(admin, ann, 5, key="k2", expires_at=soon.isoformat())
    with sessions() as session:
        session.execute(update(Lot).where(Lot.expires_at == soon).values(expires_at=now(-1)))
        session.execute(update(Wallet).values(due_at=now(-1)))
    assert faults(adjust(admin, ann, -16, key="k3")) == (422, ["amount"])
    assert adjust(admin, ann, -15, key="k3").json["available"] == 0


def ledger_wallet(whom: Caller) -> int:
    return int(once(ledger.open_wallet, user_id=id_of(whom), kind="credits"))


def test_what_makes_no_sense_is_refused_and_moves_nothing(client: FlaskClient, admin: Caller) -> None:
    ann = join(client)
    for body, field in (
        ({"amount": 0}, "amount"),
        ({"amount": 1_000_000_001}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": 1, "wallet": "gold"}, "wallet"),
        ({"amount": 1, "reason": " "}, "reason"),
        ({"amount": 1, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"amount": 1, "expires_at": "tomorrow"}, "expires_at"),
        ({"amount": -1, "expires_at": "2090-01-01T00:00:00Z"}, "expires_at"),
        ({"amount": 1, "source": "purchase"}, "source"),
    ):
        assert faults(adjust(admin, ann, **body)) == (422, [field]), body
    path = f"/users/{id_of(ann)}/adjustments"
    body = {"wallet": "credits", "amount": 5, "reason": WHY}
    assert faults(ask(admin, "POST", path, body)) == (422, ["Idempotency-Key"])
    missing = ask(admin, "POST", f"/users/{uuid4()}/adjustments", body, **{"Idempotency-Key": "k"})
    assert code_of(missing) == (404, "not_found")
    change(ann, closing_at=now())
    assert code_of(adjust(admin, ann, 5)) == (409, "account_closing")
    assert (moves(ann), entries()) == ([], [])


def test_only_admins_and_the_key_adjust_and_nobody_their_own(
    client: FlaskClient, admin: Caller, support: Caller
) -> None:
    ann = join(client)
    path, body = f"/users/{id_of(ann)}/adjustments", {"wallet": "credits", "amount": 5, "reason": WHY}
    for who in (ann, support):
        assert code_of(adjust(who, ann, 5)) == NO_ROLE
    assert code_of(client.post(f"/v1/admin{path}", json=body)) == STRANGER
    assert code_of(adjust(admin, admin, 5)) == (403, "own_account")
    assert (moves(ann), moves(admin), entries()) == ([], [], [])
    adjust(admin, ann, 5)
    by_key(client, "POST", path, {**body, "amount": -2}, **{"Idempotency-Key": "k2"})
    about = {"verb": "credits.adjust", "target": f"user:{id_of(ann)}", "reason": WHY}
    keys = [hashlib.sha256(key).hexdigest() for key in (b"k1", b"k2")]
    said = {"wallet": "credits", "expires_at": None, "debt": 0}
    assert entries() == [
        {
            **about, "actor": "admin", "actor_id": id_of(admin), "before": {"available": 0, "debt": 0},
            "after": {**said, "amount": 5, "available": 5, "key": keys[0]},
        },
        {
            **about, "actor": "admin_key", "actor_id": None, "before": {"available": 5, "debt": 0},
            "after": {**said, "amount": -2, "available": 3, "key": keys[1]},
        },
    ]  # fmt: skip


def test_the_command_adjusts_by_the_same_verb(app: Flask, client: FlaskClient) -> None:
    ann = join(client)

    def flask(*arguments: str) -> tuple[int, str]:
        ended = app.test_cli_runner().invoke(args=["credits", "adjust", ann.email, "credits", *arguments])
        return ended.exit_code, ended.output

    for _ in range(2):
        assert flask("30", "--reason", WHY, "--key", "k1")[0] == 0
    assert flask("-10", "--reason", WHY) == (0, f"{ann.email} has 20 available credits.\n")
    code, said = flask("-21", "--reason", WHY)
    assert (code, "20 available" in said, "Nothing was changed" in said) == (1, True, True)
    assert flask("5")[0] == 2, "a reason is needed"
    assert [amount for *_, amount, _ in moves(ann)] == [30, 10]
    assert [(each["actor"], each["after"]["amount"]) for each in entries()] == [("command", 30), ("command", -10)]
