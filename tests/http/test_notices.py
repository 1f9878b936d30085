"""Notices of credits that are about to expire, from beat's task to the front door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, select, text

from models import ledger, notices
from models.catalog import Catalog
from models.database import engine, is_postgresql, sessions
from models.ledger import Lot, Source
from models.notices import Notice
from tasks.maintenance import notice_expiring
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.ledger import books

DAY = 24.0


@pytest.fixture(autouse=True)
def shop(client: FlaskClient) -> Catalog:
    return sell(wallets={"credits": {"title": "Credits"}, "tips": {"title": "Tips", "notice_days": 2}})


def test_each_lot_that_expires_soon_is_told_once(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    credits_, tips = _wallet(caller, "credits"), _wallet(caller, "tips")
    told = books.lot(credits_, 20, ref="six days", hours=6 * DAY)
    books.lot(credits_, 21, ref="eight days", hours=8 * DAY)
    books.lot(credits_, 22, ref="never")
    books.lot(tips, 3, ref="three days", hours=3 * DAY)
    sooner = books.lot(tips, 4, ref="one day", hours=1 * DAY, source=Source.purchase)
    before = books.everything()
    for _ in range(2):
        notice_expiring()
        found: list[dict[str, Any]] = (caller.get("/v1/notices").json or {})["notices"]
        assert [(each["topic"], each["details"]["wallet"], each["details"]["amount"]) for each in found] == [
            ("credits_expiring", "credits", 20),
            ("credits_expiring", "tips", 4),
        ]
        assert [each["details"]["expires_at"] for each in found] == [_expiry(told), _expiry(sooner)]
    with sessions() as session:
        refs = session.scalars(select(Notice.ref).order_by(Notice.id)).all()
    assert refs == [f"expiring:{sooner}", f"expiring:{told}"]
    assert books.everything() == before
    assert sign_up().get("/v1/notices").json == {"notices": [], "next": None}


def test_what_is_used_up_or_over_or_comes_each_day_is_not_told(caller: Caller) -> None:
    wallet = _wallet(caller, "credits")
    books.lot(wallet, 5, ref="today", hours=5, source=Source.daily)
    books.lot(wallet, 6, ref="this week", hours=6, source=Source.weekly)
    used = books.lot(wallet, 7, ref="used", hours=4)
    with sessions() as session:
        ledger.spend(session, wallet_id=wallet, amount=7, ref="gone")
    assert books.parts(used).spent == 7
    books.lot(wallet, 8, ref="over", hours=-1)
    notice_expiring()
    assert (caller.get("/v1/notices").json or {})["notices"] == []


def test_what_is_left_is_told_and_pages_are_walked_to_the_end(caller: Caller) -> None:
    wallet = _wallet(caller, "credits")
    soon = books.clock(3600)
    with sessions() as session:
        # All expire at the very same moment, which is where a page would tear.
        for n in range(7):
            ledger.grant(session, wallet_id=wallet, amount=10, source=Source.plan, ref=f"lot:{n}", expires_at=soon)
    with sessions() as session:
        ledger.spend(session, wallet_id=wallet, amount=4, ref="part")
    with mock.patch("tasks.maintenance.PAGE", 3):
        notice_expiring()
        notice_expiring()
    seen: list[int] = []
    path = "/v1/notices?limit=2"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += [each["details"]["amount"] for each in page["notices"]]
        path = f"/v1/notices?limit=2&after={page['next']}" if page["next"] else ""
    assert seen == [10] * 6 + [6]


@pytest.mark.usefixtures("pristine")
def test_the_search_goes_by_its_index(client: FlaskClient, shop: Catalog) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine(), "before_cursor_execute", note)
    with sessions() as session:
        notices.notice_expiring(session, shop, limit=10, after=notices.Bookmark(books.clock(), 5))
        [(statement, parameters)] = [(each, values) for each, values in asked if "FROM lots" in each]
        if is_postgresql(session):
            # The table is empty: without this no index is worth its while.
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if is_postgresql(session) else "EXPLAIN QUERY PLAN"
        plan = session.connection().exec_driver_sql(f"{explain} {statement}", parameters).all()
    event.remove(engine(), "before_cursor_execute", note)
    assert any("ix_lots_expires_at_id" in str(step) for step in plan), plan


def _wallet(caller: Caller, kind: str) -> int:
    with sessions() as session:
        return ledger.wallet_ids(session, user_id=UUID(caller.tokens["user"]["id"]))[kind]


def _expiry(lot: int) -> str:
    with sessions() as session:
        expires_at = session.scalars(select(Lot.expires_at).where(Lot.id == lot)).one()
    assert expires_at is not None
    return expires_at.isoformat().removesuffix("+00:00") + "Z"
