"""Entitlements and the places of their limits, over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient

from models import plans
from models.database import sessions
from models.plans import Origin
from tests.http.conftest import Caller
from tests.http.offers import sell

PLANS = {
    "free": {"title": "Free", "rank": 0, "limits": {"companions": 1, "rooms": 0}},
    "premium": {
        "title": "Premium", "rank": 1, "limits": {"companions": 3}, "features": ["hd_photos", "no_ads"],
        "priority": True, "unlimited": [{"action": "chat", "fair_use": {"uses": 500, "per": "day"}}],
    },
}  # fmt: skip
NOTHING: dict[str, Any] = {
    "plan": None, "title": None, "ends_at": None, "features": [], "priority": False, "unlimited": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def shop(client: FlaskClient) -> None:
    sell(plans=PLANS)


def test_who_has_no_plan_has_no_places(caller: Caller) -> None:
    none = {"limit": 0, "used": 0}
    assert caller.get("/v1/entitlements").json == {**NOTHING, "limits": {"companions": none, "rooms": none}}
    answer = _put(caller, "companions/ann")
    assert (answer.status_code, answer.json["code"]) == (403, "limit_reached")
    assert (answer.json["name"], answer.json["limit"], answer.json["used"]) == ("companions", 0, 0)
    assert _items(caller) == []


def test_a_plan_says_what_it_includes(caller: Caller) -> None:
    _subscribe(caller, "premium", months=2)
    assert _put(caller, "companions/ann").status_code == 201
    with sessions() as session:
        held = plans.entitlements(session, user_id=_id(caller)).held
    assert held is not None
    assert held.ends_at is not None
    assert caller.get("/v1/entitlements").json == {
        "plan": "premium",
        "title": "Premium",
        "ends_at": held.ends_at.isoformat().removesuffix("+00:00") + "Z",
        "features": ["hd_photos", "no_ads"],
        "priority": True,
        "unlimited": [{"action": "chat", "wallet": None, "fair_use": {"uses": 500, "per": "day"}}],
        "limits": {"companions": {"limit": 3, "used": 1}, "rooms": {"limit": None, "used": 0}},
    }


def test_places_are_taken_up_to_the_limit_and_given_back(caller: Caller) -> None:
    _subscribe(caller, "premium")
    for name in ("cid", "ann", "bea"):
        assert _put(caller, f"companions/{name}").status_code == 201
    for _ in range(2):
        answer = _put(caller, "companions/dan")
        assert (answer.status_code, answer.json["limit"], answer.json["used"]) == (403, 3, 3)
    again = _put(caller, "companions/ann")
    assert (again.status_code, again.json["item"]) == (200, "ann")
    assert _items(caller) == ["ann", "bea", "cid"]
    for _ in range(2):
        assert _delete(caller, "companions/bea") == 204
        assert _items(caller) == ["ann", "cid"]
    assert _put(caller, "companions/dan").status_code == 201
    assert _put(caller, "companions/bea").status_code == 403
    assert _items(caller) == ["ann", "cid", "dan"]


def test_what_a_plan_does_not_limit_has_no_end(caller: Caller) -> None:
    _subscribe(caller, "premium")
    names = [f"room-{n:02}" for n in range(25)]
    assert {_put(caller, f"rooms/{name}").status_code for name in names} == {201}
    assert (caller.get("/v1/entitlements").json or {})["limits"]["rooms"] == {"limit": None, "used": 25}
    seen: list[str] = []
    path = "/v1/entitlements/rooms?limit=10"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += [each["item"] for each in page["items"]]
        path = f"/v1/entitlements/rooms?limit=10&after={page['next']}" if page["next"] else ""
    assert seen == names


def test_after_a_downgrade_what_is_taken_stays_and_nothing_new_fits(caller: Caller) -> None:
    _subscribe(caller, "premium")
    for name in ("ann", "bea"):
        _put(caller, f"companions/{name}")
    _subscribe(caller, "free")
    assert _items(caller) == ["ann", "bea"]
    assert (caller.get("/v1/entitlements").json or {})["limits"]["companions"] == {"limit": 1, "used": 2}
    assert _put(caller, "companions/ann").status_code == 200
    assert _put(caller, "companions/cid").status_code == 403
    assert _delete(caller, "companions/ann") == 204
    assert _put(caller, "companions/ann").status_code == 403
    assert _items(caller) == ["bea"]


def test_a_limit_that_no_plan_has_does_not_exist(caller: Caller) -> None:
    _subscribe(caller, "premium")
    for answer in (
        caller.get("/v1/entitlements/castles"),
        _put(caller, "castles/ann"),
        caller.client.delete("/v1/entitlements/castles/ann", headers=caller.headers),
    ):
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")


def test_places_of_others_are_theirs(caller: Caller, sign_up: Any) -> None:
    _subscribe(caller, "free")
    assert _put(caller, "companions/ann").status_code == 201
    stranger = sign_up()
    _subscribe(stranger, "free")
    assert _items(stranger) == []
    assert _delete(stranger, "companions/ann") == 204
    assert _put(stranger, "companions/ann").status_code == 201
    assert _items(caller) == ["ann"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("Companions/ann", "limit_name"),
        ("companions/" + "x" * 201, "item"),
        ("companions/%20", "item"),
    ],
)
def test_bad_names_are_named(caller: Caller, path: str, field: str) -> None:
    answer = _put(caller, path)
    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [field])
    assert _delete(caller, path) == 422


def test_a_path_with_what_no_text_has_leads_nowhere(caller: Caller) -> None:
    assert _put(caller, "companions/a%00b").status_code == 404
    assert _delete(caller, "companions/a%00b") == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=a%00b", "offset=1"])
def test_bad_pages_are_refused(caller: Caller, query: str) -> None:
    assert caller.get(f"/v1/entitlements/companions?{query}").status_code == 422


def _id(caller: Caller) -> UUID:
    return UUID(caller.tokens["user"]["id"])


def _subscribe(caller: Caller, plan: str, *, months: int | None = None) -> None:
    with sessions() as session:
        plans.subscribe(session, user_id=_id(caller), plan=plan, origin=Origin.admin, ref=uuid4().hex, months=months)


def _put(caller: Caller, path: str) -> Any:
    return caller.client.put(f"/v1/entitlements/{path}", headers=caller.headers)


def _delete(caller: Caller, path: str) -> int:
    return caller.client.delete(f"/v1/entitlements/{path}", headers=caller.headers).status_code


def _items(caller: Caller) -> list[str]:
    return [each["item"] for each in (caller.get("/v1/entitlements/companions").json or {})["items"]]
