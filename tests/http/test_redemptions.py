"""Promotional codes over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from models import ledger, plans
from models.database import sessions
from models.ledger import Lot, Source, Transfer
from models.plans import Origin, Subscription
from models.promotions import PromotionUse, Redemption
from models.rates import RateWindow
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.ledger import books

PLANS = {
    "free": {"title": "Free", "rank": 0},
    "basic": {"title": "Basic", "rank": 1, "allowances": [{"wallet": "tips", "amount": 7, "period": "cycle"}]},
    "pro": {"title": "Pro", "rank": 2},
}
PROMOTIONS = {
    "WELCOME": {"title": "Welcome", "credits": {"tips": 3, "credits": 20}, "expires_days": 30},
    "FOREVER": {"title": "Forever", "credits": {"credits": 1}},
    "TRY-BASIC": {"title": "Try Basic", "plan": "basic", "months": 2, "credits": {"credits": 5}},
    "SOON": {"title": "Soon", "credits": {"credits": 9}, "starts_at": "2999-01-01T00:00:00Z"},
    "GONE": {"title": "Gone", "credits": {"credits": 9}, "ends_at": "2020-01-01T00:00:00Z"},
    "FIRST": {"title": "First come", "credits": {"credits": 9}, "cap": 1},
}


@pytest.fixture(autouse=True)
def shop(client: FlaskClient) -> None:
    sell(plans=PLANS, promotions=PROMOTIONS, signup={"plan": "free"})


def test_a_code_gives_its_credits_as_lots_with_their_expiry(caller: Caller) -> None:
    answer = caller.post("/v1/redemptions", {"code": " welcome "})
    given: dict[str, Any] = answer.json or {}
    assert answer.status_code == 201, given
    assert (given["object"], given["code"], given["title"], given["plan"]) == ("redemption", "WELCOME", "Welcome", None)
    assert given["credits"] == {"credits": 20, "tips": 3}
    for kind, amount in given["credits"].items():
        wallet = _wallets(caller)[kind]
        [lot] = books.lots(wallet)
        assert books.moves(wallet) == [("grant", "issued", "available", amount, lot, amount)]
        assert books.refs(wallet) == [f"promo:WELCOME:{_id(caller)}:{kind}"]
        with sessions() as session:
            source, expires_at = session.execute(select(Lot.source, Lot.expires_at).where(Lot.id == lot)).one()
            details = session.scalars(select(Transfer.details).where(Transfer.lot_id == lot)).one()
        assert (source, details) == (Source.promo, {"title": "Welcome", "code": "WELCOME"})
        assert expires_at == datetime.fromisoformat(given["expires_at"])
        assert timedelta(days=29) < expires_at - datetime.fromisoformat(given["created_at"]) <= timedelta(days=31)


def test_each_user_redeems_a_code_once(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    assert caller.post("/v1/redemptions", {"code": "FOREVER"}).status_code == 201
    before = books.everything()
    for spelling in ("FOREVER", "forever"):
        assert _why(caller, spelling) == "already_redeemed"
    assert books.everything() == before
    other = sign_up().post("/v1/redemptions", {"code": "forever"})
    assert (other.status_code, (other.json or {})["expires_at"]) == (201, None)
    with sessions() as session:
        assert session.execute(select(PromotionUse.redeemed)).scalar_one() == 2


def test_a_code_outside_its_window_or_past_its_cap_gives_nothing(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    assert sign_up().post("/v1/redemptions", {"code": "FIRST"}).status_code == 201
    before = books.everything()
    whys = [_why(caller, code) for code in ("NOSUCH", "SOON", "GONE", "FIRST", "FIRST")]
    assert whys == ["unknown", "not_yet", "over", "used_up", "used_up"]
    assert books.everything() == before
    assert _stored(caller) == (0, 1)
    with sessions() as session:
        assert session.execute(select(PromotionUse.redeemed).where(PromotionUse.code == "FIRST")).scalar_one() == 1


def test_a_code_can_give_a_plan_with_its_allowance_for_some_months(caller: Caller) -> None:
    answer = caller.post("/v1/redemptions", {"code": "TRY-BASIC"})
    given: dict[str, Any] = answer.json or {}
    assert answer.status_code == 201, given
    with sessions() as session:
        held = plans.entitlements(session, user_id=_id(caller)).held
    assert held is not None
    assert held.ends_at is not None
    assert given["plan"] == {
        "name": "basic", "title": "Basic", "ends_at": held.ends_at.isoformat().removesuffix("+00:00") + "Z",
    }  # fmt: skip
    assert (held.plan, held.origin, held.ends_at) == ("basic", Origin.promo, plans.months_after(held.started_at, 2))
    with sessions() as session:
        balances = ledger.balances(session, user_id=_id(caller))
        ref = session.scalars(select(Subscription.ref).where(Subscription.id == held.subscription_id)).one()
    assert {kind: balance.available for kind, balance in balances.items()} == {"credits": 5, "tips": 7}
    assert ref == f"promo:TRY-BASIC:{_id(caller)}"
    assert _why(caller, "TRY-BASIC") == "already_redeemed"
    assert _stored(caller) == (1, 2)


@pytest.mark.parametrize(("plan", "months"), [("pro", None), ("pro", 1), ("basic", None), ("basic", 3)])
def test_a_code_never_takes_a_better_plan_away(caller: Caller, plan: str, months: int | None) -> None:
    with sessions() as session:
        plans.subscribe(session, user_id=_id(caller), plan=plan, origin=Origin.admin, ref="gift", months=months)
        held = plans.entitlements(session, user_id=_id(caller)).held
    before, stored = books.everything(), _stored(caller)
    assert [_why(caller, "TRY-BASIC") for _ in range(2)] == ["has_better_plan"] * 2
    assert (books.everything(), _stored(caller)) == (before, stored)
    with sessions() as session:
        assert plans.entitlements(session, user_id=_id(caller)).held == held
        assert session.scalar(select(func.count()).select_from(PromotionUse)) == 0


def test_a_code_prolongs_the_same_plan_that_would_end_sooner(caller: Caller) -> None:
    with sessions() as session:
        plans.subscribe(session, user_id=_id(caller), plan="basic", origin=Origin.admin, ref="gift", months=1)
    assert caller.post("/v1/redemptions", {"code": "TRY-BASIC"}).status_code == 201
    with sessions() as session:
        held = plans.entitlements(session, user_id=_id(caller)).held
    assert held is not None
    assert (held.plan, held.ends_at) == ("basic", plans.months_after(held.started_at, 2))


def test_guessing_is_slowed_down_and_wrong_guesses_count(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    assert [_why(caller, f"GUESS-{n}") for n in range(10)] == ["unknown"] * 10
    before = books.everything()
    answer = caller.post("/v1/redemptions", {"code": "FOREVER"})
    assert (answer.status_code, (answer.json or {})["code"]) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert books.everything() == before
    assert sign_up().post("/v1/redemptions", {"code": "FOREVER"}).status_code == 201
    with sessions() as session:
        session.execute(update(RateWindow).where(RateWindow.user_id == _id(caller)).values(started_at=books.clock(-61)))
    assert caller.post("/v1/redemptions", {"code": "FOREVER"}).status_code == 201


def test_my_redemptions_are_paged_newest_first_and_only_mine(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    made = [caller.post("/v1/redemptions", {"code": code}).json for code in ("WELCOME", "FOREVER", "TRY-BASIC")]
    seen: list[Any] = []
    path = "/v1/redemptions?limit=2"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += page["redemptions"]
        path = f"/v1/redemptions?limit=2&after={page['next']}" if page["next"] else ""
    assert seen == made[::-1]
    assert sign_up().get("/v1/redemptions").json == {"redemptions": [], "next": None}


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"code": 5}, {"code": "x" * 101}])
def test_bad_input_names_the_field(caller: Caller, body: dict[str, Any]) -> None:
    answer = caller.post("/v1/redemptions", body)
    assert answer.status_code == 422
    assert [error["field"] for error in (answer.json or {})["errors"]] == ["code"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=-1", f"after={2**63}", "offset=1"])
def test_bad_pages_are_refused(caller: Caller, query: str) -> None:
    assert caller.get(f"/v1/redemptions?{query}").status_code == 422


def _id(caller: Caller) -> UUID:
    return UUID(caller.tokens["user"]["id"])


def _wallets(caller: Caller) -> dict[str, int]:
    with sessions() as session:
        return ledger.wallet_ids(session, user_id=_id(caller))


def _why(caller: Caller, code: str) -> str:
    answer = caller.post("/v1/redemptions", {"code": code})
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"]) == (409, "code_not_good"), problem
    return str(problem["why"])


def _stored(caller: Caller) -> tuple[int, int]:
    """How many redemptions and subscriptions the caller has."""
    with sessions() as session:
        redemptions, subscriptions = (
            session.execute(select(func.count()).where(table.user_id == _id(caller))).scalar_one()
            for table in (Redemption, Subscription)
        )
    return redemptions, subscriptions
