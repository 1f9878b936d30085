"""GET /v1/actions, /v1/packs and /v1/plans: what is sold, to anybody and to this caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from models import ledger, packs, plans
from models.catalog import Billing
from models.database import sessions
from models.errors import InvalidInput
from models.ledger import Lot, Source
from models.plans import Origin
from tests.http.conftest import Caller
from tests.http.offers import COMPANIONS, sell
from tests.ledger import books


def _by_name(listed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in listed}


def test_actions_say_what_this_caller_may_order(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    sell(COMPANIONS)
    user = sign_up()
    for seen in (client.get("/v1/actions"), user.get("/v1/actions")):
        shown = _by_name((seen.json or {})["actions"])
        assert list(shown) == list(COMPANIONS["actions"])
        assert (shown["video"]["available"], shown["video"]["unavailable_because"]) == (False, "feature_required")
        assert (shown["chat"]["available"], shown["chat"]["free"]) == (True, False)
        assert shown["skip"]["price"] == {"form": "level", "quantity": "level", "least": 10, "most": 50, "step": 10}
    with sessions() as session:
        plans.subscribe(session, user_id=UUID(user.tokens["user"]["id"]), plan="elite", origin=Origin.admin, ref="t")
    shown = _by_name((user.get("/v1/actions").json or {})["actions"])
    assert (shown["video"]["available"], shown["video"]["free"], shown["minute"]["free"]) == (True, True, False)
    assert client.get("/v1/actions", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_packs_are_shown_as_they_are_sold(client: FlaskClient) -> None:
    sell(COMPANIONS)
    shown = _by_name((client.get("/v1/packs").json or {})["packs"])
    assert list(shown) == ["small", "both"], "in the order of the preset"
    assert shown["both"] == {
        "name": "both", "title": "Both", "description": "", "price": {"amount": 999, "currency": "EUR"},
        "credits": {"tokens": 250, "minutes": 30}, "bonus": {"tokens": 25}, "quick": True, "expires_days": 90,
    }  # fmt: skip
    assert (shown["small"]["bonus"], shown["small"]["quick"], shown["small"]["expires_days"]) == ({}, False, None)


def test_a_pack_arrives_once_with_its_bonus(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    sold = sell(COMPANIONS)
    user_id = UUID(sign_up().tokens["user"]["id"])
    wallets = _wallets(user_id)
    before = {kind: len(books.moves(wallet_id)) for kind, wallet_id in wallets.items()}
    for _ in range(2):
        with sessions() as session:
            packs.fulfil(session, sold, user_id=user_id, pack="both", ref="checkout:1")
    tokens, minutes = wallets["tokens"], wallets["minutes"]
    assert [move.amount for move in books.moves(tokens, but=before["tokens"])] == [250, 25]
    assert [move.amount for move in books.moves(minutes, but=before["minutes"])] == [30]
    assert books.refs(tokens)[-2:] == ["checkout:1:tokens", "checkout:1:tokens:bonus"]
    assert books.sums(tokens).available == 375
    with pytest.raises(InvalidInput), sessions() as session:
        packs.fulfil(session, sold, user_id=user_id, pack="huge", ref="checkout:2")


def test_plans_are_shown_with_the_callers_own_on_its_own_terms(
    client: FlaskClient, sign_up: Callable[[], Caller]
) -> None:
    sell(COMPANIONS)
    user = sign_up()
    anybody = client.get("/v1/plans").json or {}
    assert (anybody["current"], anybody["balances"]) == (None, None)
    shown = _by_name(anybody["plans"])
    assert shown["premium"]["prices"] == {"monthly": {"amount": 999, "currency": "EUR"}}
    assert shown["premium"]["allowances"] == [{"wallet": "minutes", "amount": 60, "period": "cycle", "rollover": False}]
    assert (shown["premium"]["limits"], shown["premium"]["priority"]) == ({"friends": 3}, True)
    assert user.get("/v1/plans").json["current"] is None  # type: ignore[index]
    with sessions() as session:
        plans.subscribe(
            session, user_id=UUID(user.tokens["user"]["id"]), plan="premium", origin=Origin.admin, ref="t",
            billing=Billing.monthly,
        )  # fmt: skip
    renamed = {**COMPANIONS["plans"], "premium": {**COMPANIONS["plans"]["premium"], "title": "Premium 2"}}
    sell(COMPANIONS, plans=renamed)
    own = user.get("/v1/plans").json or {}
    assert (own["current"]["plan"], own["current"]["title"]) == ("premium", "Premium"), "as it was taken up"
    assert (own["current"]["billing"], own["current"]["ends_at"]) == ("monthly", None)
    assert {kind: balance["available"] for kind, balance in own["balances"].items()} == {"tokens": 100, "minutes": 70}
    assert {name: plan["current"] for name, plan in _by_name(own["plans"]).items()} == {"premium": True, "elite": False}
    assert _by_name(own["plans"])["premium"]["title"] == "Premium 2"


def test_switching_the_preset_alters_no_job_in_flight(caller: Caller) -> None:
    job = caller.submit(key="before").json or {}
    sell(COMPANIONS)
    assert caller.get(job["urls"]["get"]).json == job
    again = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "other"}}, **{"Idempotency-Key": "after"})
    assert again.status_code == 402, "the new product's wallet is empty"
    assert caller.balance() == {"available": 95, "held": 5, "debt": 0}
    canceled = caller.post(job["urls"]["cancel"]).json or {}
    assert (canceled["status"], canceled["cost"]["refunded"]) == ("canceled", 5)


def _wallets(user_id: UUID) -> dict[str, int]:
    with sessions() as session:
        return ledger.wallet_ids(session, user_id=user_id)


def test_bonus_credits_are_no_bought_ones(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    sold = sell(COMPANIONS)
    user_id = UUID(sign_up().tokens["user"]["id"])
    with sessions() as session:
        packs.fulfil(session, sold, user_id=user_id, pack="both", ref="checkout:1")
    with sessions() as session:
        rows = session.execute(select(Lot.source, Lot.issued).where(Lot.ref.startswith("checkout:1:tokens")))
        assert {(source, issued) for source, issued in rows} == {(Source.purchase, 250), (Source.promo, 25)}
