"""GET /v1/wallets, and the allowances that reading a balance grants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from models import ledger
from models.database import sessions
from models.ledger import Account, Reason, Source
from tests.http.conftest import PASSWORD, Caller
from tests.http.offers import sell
from tests.http.statements import SHOP, a_job, allowance_due, customer, done, failed, spent, wallet_of
from tests.ledger import books
from web.times import render_time

SignUp = Callable[[], Caller]
NOTHING = {"bought": 0, "granted": 0, "spent": 0, "refunded": 0, "expired": 0, "clawed_back": 0}


def wallets(caller: Caller) -> dict[str, dict[str, Any]]:
    answer = caller.get("/v1/wallets")
    assert answer.status_code == 200, answer.json
    return {wallet["kind"]: wallet for wallet in (answer.json or {})["wallets"]}


def test_a_new_wallet_has_what_sign_up_gave(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    assert (caller.get("/v1/wallets").json or {})["wallets"] == [
        {
            "kind": "credits", "title": "Credits", "available": 100, "held": 0, "debt": 0,
            "low": False, "low_balance": 50, "usage": {**NOTHING, "granted": 100}, "expiring": [], "resets_at": None,
        },
        {
            "kind": "minutes", "title": "Minutes", "available": 10, "held": 0, "debt": 0,
            "low": False, "low_balance": None, "usage": {**NOTHING, "granted": 10}, "expiring": [], "resets_at": None,
        },
    ]  # fmt: skip


def test_the_statistics_say_what_became_of_every_credit(sign_up: SignUp) -> None:
    caller, stranger = customer(sign_up), sign_up()
    wallet = wallet_of(caller)
    done(a_job(caller))
    done(a_job(caller), percent=30)
    failed(a_job(caller))
    spent(caller, quantity=3)
    bought = books.lot(wallet, 50, ref="checkout:1", source=Source.purchase)
    books.once(ledger.clawback, lot_id=bought, amount=20, ref="refund:1")
    books.lot(wallet, 7, ref="promo:1", hours=-1)
    books.once(ledger.expire, wallet_id=wallet)
    a_job(caller)
    for _ in range(2):
        seen = wallets(caller)["credits"]
        assert (seen["available"], seen["held"], seen["debt"]) == (107 + 50 - 16 - 20 - 7 - 10, 10, 0)
        assert seen["usage"] == {
            "bought": 50, "granted": 107, "spent": 16, "refunded": 17, "expired": 7, "clawed_back": 20,
        }  # fmt: skip
    assert wallets(caller)["minutes"]["usage"] == {**NOTHING, "granted": 10}
    assert wallets(stranger)["credits"]["usage"] == {**NOTHING, "granted": 100}


def test_what_is_past_its_expiry_counts_as_expired_before_anybody_has_swept_it(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    wallet = wallet_of(caller)
    books.lot(wallet, 7, ref="promo:1", hours=-1)
    unswept = wallets(caller)["credits"]
    assert books.sums(wallet).available == 107
    assert (unswept["available"], unswept["usage"]["expired"]) == (100, 7)
    books.once(ledger.expire, wallet_id=wallet)
    assert wallets(caller)["credits"] == unswept


def test_a_balance_is_low_below_its_mark_and_not_on_it(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    spent(caller, quantity=50)
    assert (wallets(caller)["credits"]["available"], wallets(caller)["credits"]["low"]) == (50, False)
    spent(caller, quantity=1)
    assert (wallets(caller)["credits"]["available"], wallets(caller)["credits"]["low"]) == (49, True)
    spent(caller, "minute")
    assert not wallets(caller)["minutes"]["low"], "a wallet without a mark is never low"


def test_lots_that_expire_within_the_notice_are_told_soonest_first(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    wallet, minutes = wallet_of(caller), wallet_of(caller, "minutes")
    later = books.lot(wallet, 6, ref="later", source=Source.admin, hours=71)
    sooner = books.lot(wallet, 5, ref="sooner", hours=24)
    books.lot(wallet, 4, ref="too late", hours=73)
    books.lot(wallet, 3, ref="over", hours=-1)
    week = books.lot(minutes, 2, ref="week", source=Source.referral, hours=7 * 24 - 1)
    books.lot(minutes, 1, ref="more than a week", hours=7 * 24 + 1)

    def told(amount: int, lot: int, source: str) -> dict[str, Any]:
        with sessions() as session:
            return {
                "amount": amount,
                "expires_at": render_time(session.get_one(ledger.Lot, lot).expires_at),
                "source": source,
            }

    assert wallets(caller)["credits"]["expiring"] == [told(5, sooner, "promo"), told(6, later, "admin")]
    assert wallets(caller)["minutes"]["expiring"] == [told(2, week, "referral")]
    spent(caller, quantity=7)
    assert wallets(caller)["credits"]["expiring"] == [told(4, later, "admin")], "what is used up does not expire"


def test_every_kind_is_shown_sold_or_owned(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    sell({**SHOP, "wallets": {**SHOP["wallets"], "gems": {"title": "Gems", "low_balance": 1}}})
    seen = wallets(caller)
    assert list(seen) == ["credits", "minutes", "gems"]
    assert seen["gems"] == {
        "kind": "gems", "title": "Gems", "available": 0, "held": 0, "debt": 0,
        "low": True, "low_balance": 1, "usage": NOTHING, "expiring": [], "resets_at": None,
    }  # fmt: skip
    sell(
        SHOP,
        wallets={"minutes": {"title": "Minutes"}},
        signup_grants=[],
        actions={"minute": SHOP["actions"]["minute"]},
        plans={},
    )
    seen = wallets(caller)
    assert list(seen) == ["minutes", "credits"]
    assert (seen["credits"]["title"], seen["credits"]["available"], seen["credits"]["low"]) == ("credits", 100, False)


def test_debt_is_shown_and_leaves_nothing_to_order_with(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    wallet = wallet_of(caller)
    bought = books.lot(wallet, 50, ref="checkout:1", source=Source.purchase)
    spent(caller, quantity=120)
    books.once(ledger.clawback, lot_id=bought, amount=50, ref="refund:1")
    seen = wallets(caller)["credits"]
    assert (seen["available"], seen["debt"], seen["usage"]["clawed_back"]) == (0, 20, 30)
    asked = {"action": "image", "input": {"prompt": "a fox"}}
    books.lot(wallet, 15, ref="promo:1")
    assert wallets(caller)["credits"]["debt"] == 5
    estimate: dict[str, Any] = caller.post("/v1/jobs/estimate", asked).json or {}
    assert (estimate["available"], estimate["affordable"]) == (0, False)
    books.lot(wallet, 15, ref="promo:2")
    estimate = caller.post("/v1/jobs/estimate", asked).json or {}
    assert (estimate["available"], estimate["affordable"]) == (10, True)


def test_what_is_available_beside_debt_cannot_be_ordered_with(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    bought = books.lot(wallet_of(caller), 50, ref="checkout:1", source=Source.purchase)
    spent(caller, quantity=110)
    books.lot(wallet_of(caller), 30, ref="promo:1")
    books.once(ledger.clawback, lot_id=bought, amount=50, ref="refund:1")
    assert caller.balance() == {"available": 30, "held": 0, "debt": 10}
    estimate: dict[str, Any] = (
        caller.post("/v1/jobs/estimate", {"action": "image", "input": {"prompt": "a fox"}}).json or {}
    )
    assert (estimate["price"], estimate["available"], estimate["affordable"]) == (10, 0, False)


def by_me(caller: Caller) -> int:
    return caller.balance()["available"]


def by_wallets(caller: Caller) -> int:
    return int(wallets(caller)["credits"]["available"])


def by_log_in(caller: Caller) -> int:
    answer = caller.client.post("/v1/auth/login", json={"email": caller.email, "password": PASSWORD})
    return int((answer.json or {})["user"]["balances"]["credits"]["available"])


def by_estimate(caller: Caller) -> int:
    answer = caller.post("/v1/jobs/estimate", {"action": "image", "input": {"prompt": "a fox"}})
    return int((answer.json or {})["available"])


def by_statement(caller: Caller) -> int:
    return int((caller.get("/v1/transactions?wallet=credits&limit=1").json or {})["transactions"][0]["balance_after"])


READERS = [by_me, by_wallets, by_log_in, by_estimate, by_statement]


@pytest.mark.parametrize("read", READERS)
def test_reading_a_balance_first_grants_the_allowance_that_is_due_once(
    sign_up: SignUp, read: Callable[[Caller], int]
) -> None:
    caller = customer(sign_up)
    allowance_due(caller)
    spent_before = len(books.moves(wallet_of(caller)))
    for _ in range(2):
        assert read(caller) == 140
    old, new = books.lots(wallet_of(caller))[-2:]
    assert books.moves(wallet_of(caller), but=spent_before) == [
        books.Move(Reason.expire, Account.available, Account.expired, 40, old, 100),
        books.Move(Reason.grant, Account.issued, Account.available, 40, new, 140),
    ]
    for another in READERS:
        assert another(caller) == 140
    assert len(books.moves(wallet_of(caller))) == spent_before + 2
    seen = wallets(caller)["credits"]
    assert seen["usage"] == {**NOTHING, "granted": 180, "expired": 40}
    assert [lot["amount"] for lot in seen["expiring"]] == [40]
    assert seen["resets_at"] == seen["expiring"][0]["expires_at"]
    assert seen["resets_at"] > "2026"


def test_an_allowance_that_is_not_due_is_not_granted_by_looking(sign_up: SignUp) -> None:
    caller, other = customer(sign_up), sign_up()
    allowance_due(other)
    before = books.everything()
    for read in (by_me, by_wallets, by_estimate):
        assert read(caller) == 100
    assert books.everything() == before, "another user's allowance waits for that user"


def test_the_balance_of_sign_up_counts_the_plan_of_sign_up(sign_up: SignUp) -> None:
    sell(SHOP, signup={"plan": "daily"})
    assert sign_up().tokens["user"]["balances"] == {
        "credits": {"available": 140, "held": 0, "debt": 0},
        "minutes": {"available": 10, "held": 0, "debt": 0},
    }


def test_wallets_are_for_their_owner(client: FlaskClient) -> None:
    answer = client.get("/v1/wallets")
    assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthorized")
