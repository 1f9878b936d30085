"""GET /v1/transactions as pages: what it says, its filters, and walking it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text

from models import ledger, transactions
from models.database import engine, is_postgresql, sessions
from models.ledger import Source
from models.transactions import Type, Wanted
from tests.http.conftest import Caller
from tests.http.statements import a_job, customer, done, failed, id_of, spent, wallet_of
from tests.ledger import books

SignUp = Callable[[], Caller]
Row = dict[str, Any]


def asked(caller: Caller, query: str = "limit=100") -> list[Row]:
    """One page that has everything."""
    answer = caller.get(f"/v1/transactions?{query}")
    assert answer.status_code == 200, answer.json
    page: dict[str, Any] = answer.json or {}
    assert page["next"] is None
    return list(page["transactions"])


def walked(caller: Caller, query: str, *, after: str | None = None) -> tuple[list[Row], int]:
    """All rows of all pages from just after `after`, and how many pages there were."""
    rows: list[Row] = []
    pages = 0
    while True:
        going_on = f"&after={after}" if after else ""
        page: dict[str, Any] = caller.get(f"/v1/transactions?{query}{going_on}").json or {}
        rows += page["transactions"]
        pages += 1
        if page["next"] is None:
            return rows, pages
        assert after is None or int(page["next"]) < int(after)
        after = page["next"]


def a_life(caller: Caller) -> dict[str, str]:
    """Everything that can happen to credits, in two wallets in turn; gives the ids of jobs and spends."""
    wallet, minutes = wallet_of(caller), wallet_of(caller, "minutes")
    ids = {"done": str(done(a_job(caller)))}
    ids["minute"] = spent(caller, "minute")
    ids["part"] = str(done(a_job(caller), percent=30))
    books.lot(minutes, 4, ref="invoice:1", source=Source.purchase)
    ids["failed"] = str(failed(a_job(caller)))
    ids["tip"] = spent(caller, quantity=3, reference="anna")
    bought = books.lot(wallet, 50, ref="checkout:1", source=Source.purchase)
    books.lot(wallet, 7, ref="promo:1", hours=-1)
    books.once(ledger.expire, wallet_id=wallet)
    ids["second minute"] = spent(caller, "minute")
    books.once(ledger.clawback, lot_id=bought, amount=20, ref="dispute:1")
    books.once(ledger.restore, ref="dispute:1")
    ids["queued"] = str(a_job(caller))
    return ids


def test_the_statement_tells_a_whole_life_in_plain_words(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    ids = a_life(caller)

    def told(
        wallet: str, type_: str, amount: int, after: int, description: str, reason: str, source: str, **more: Any
    ) -> Row:
        return {
            "wallet": wallet, "type": type_, "amount": amount, "balance_after": after, "action": None, "kind": None,
            "description": description, "reason": reason, "source": source, "job_id": None, "spend_id": None,
            "metadata": {}, **more,
        }  # fmt: skip

    def picture(name: str) -> Row:
        return {"action": "image", "kind": "image", "job_id": ids[name]}

    def charge(name: str, action: str, **metadata: Any) -> Row:
        return {"action": action, "kind": "spend", "spend_id": ids[name], "metadata": metadata}

    rows = asked(caller)
    assert [{name: row[name] for name in row if name not in ("id", "created_at")} for row in reversed(rows)] == [
        told("credits", "credit", 100, 100, "Sign-up credits", "grant", "signup"),
        told("minutes", "credit", 10, 10, "Welcome", "grant", "signup"),
        told("credits", "debit", -10, 90, "Picture", "hold", "signup", **picture("done")),
        told("minutes", "debit", -1, 9, "Minute", "spend", "signup", **charge("minute", "minute")),
        told("credits", "debit", -10, 80, "Picture", "hold", "signup", **picture("part")),
        told("credits", "refund", 7, 87, "Picture", "release", "signup", **picture("part")),
        told("minutes", "purchase", 4, 13, "Bought credits", "grant", "purchase"),
        told("credits", "debit", -10, 77, "Picture", "hold", "signup", **picture("failed")),
        told("credits", "refund", 10, 87, "Picture", "release", "signup", **picture("failed")),
        told("credits", "debit", -3, 84, "Tip", "spend", "signup", **charge("tip", "tip", reference="anna")),
        told("credits", "purchase", 50, 134, "Bought credits", "grant", "purchase"),
        told("credits", "credit", 7, 141, "Promotional credits", "grant", "promo"),
        told("credits", "expiry", -7, 134, "Expired", "expire", "promo"),
        told("minutes", "debit", -1, 12, "Minute", "spend", "signup", **charge("second minute", "minute")),
        told("credits", "clawback", -20, 114, "Taken back with a refund of money", "clawback", "purchase"),
        told("credits", "credit", 20, 134, "Given back with the money for it", "restore", "purchase"),
        told("credits", "debit", -10, 124, "Picture", "hold", "signup", **picture("queued")),
    ]
    ids_of_rows = [int(row["id"]) for row in rows]
    assert ids_of_rows == sorted(set(ids_of_rows), reverse=True)
    assert asked(caller) == rows


def test_amounts_add_up_to_every_balance_on_the_way(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    a_life(caller)
    balances = {"credits": 0, "minutes": 0}
    for row in reversed(asked(caller)):
        balances[row["wallet"]] += row["amount"]
        assert row["balance_after"] == balances[row["wallet"]]
    assert balances == {"credits": caller.balance()["available"], "minutes": 12}


def test_a_grant_without_a_title_is_called_by_its_source(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    for source, words in (
        ("daily", "Daily allowance"), ("weekly", "Weekly allowance"), ("plan", "Allowance"), ("admin", "Adjustment"),
        ("referral", "Referral credits"), ("signup", "Sign-up credits"), ("promo", "Promotional credits"),
    ):  # fmt: skip
        books.lot(wallet_of(caller), 1, ref=f"test:{source}", source=Source(source))
        row = asked(caller)[0]
        assert (row["source"], row["type"], row["description"]) == (source, "credit", words)


def test_the_title_of_a_grant_is_its_description_and_the_rest_metadata(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    books.once(
        ledger.grant, wallet_id=wallet_of(caller), amount=1, source=Source.admin, ref="x",
        details={"title": "Sorry for the wait", "ticket": 17},
    )  # fmt: skip
    row = asked(caller)[0]
    assert (row["description"], row["metadata"]) == ("Sorry for the wait", {"ticket": 17})


def test_paying_debt_is_told_as_what_it_is(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    bought = books.lot(wallet_of(caller), 50, ref="checkout:1", source=Source.purchase)
    spent(caller, quantity=150)
    books.once(ledger.clawback, lot_id=bought, amount=50, ref="refund:1")
    books.lot(wallet_of(caller), 20, ref="promo:1")
    assert [(row["type"], row["amount"], row["balance_after"], row["description"]) for row in asked(caller)[:2]] == [
        ("clawback", -20, 0, "Pays for credits that were taken back after they were spent"),
        ("credit", 20, 20, "Promotional credits"),
    ]


def test_a_charge_that_no_spend_stands_for_is_still_told(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    books.once(ledger.spend, wallet_id=wallet_of(caller), amount=2, ref="correction")
    row = asked(caller)[0]
    assert (row["amount"], row["kind"], row["action"], row["spend_id"], row["description"]) == (
        -2, "spend", None, None, "Charge",
    )  # fmt: skip


def test_each_filter_lets_through_exactly_what_it_says(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    ids = a_life(caller)
    whole = asked(caller)

    def check(query: str, fits: Callable[[Row], bool], *, rows: int) -> None:
        expected = [row for row in whole if fits(row)]
        assert len(expected) == rows
        assert asked(caller, f"limit=100&{query}") == expected
        assert walked(caller, f"limit=1&{query}")[0] == expected

    check("wallet=minutes", lambda row: row["wallet"] == "minutes", rows=4)
    check("wallet=gems", lambda row: False, rows=0)
    for type_, rows in {"credit": 4, "debit": 7, "refund": 2, "purchase": 2, "expiry": 1, "clawback": 1}.items():
        check(f"type={type_}", lambda row, type_=type_: row["type"] == type_, rows=rows)  # type: ignore[misc]
    check("action=image", lambda row: row["action"] == "image", rows=6)
    check("action=tip", lambda row: row["action"] == "tip", rows=1)
    check("action=nothing", lambda row: False, rows=0)
    check(f"job_id={ids['part']}", lambda row: row["job_id"] == ids["part"], rows=2)
    check(f"job_id={uuid4()}", lambda row: False, rows=0)
    check(
        f"wallet=credits&type=refund&action=image&job_id={ids['failed']}",
        lambda row: row["job_id"] == ids["failed"] and row["type"] == "refund",
        rows=1,
    )
    check(f"wallet=minutes&job_id={ids['failed']}", lambda row: False, rows=0)


def test_times_are_from_the_first_moment_to_before_the_second(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    a_life(caller)
    whole = asked(caller)
    moments = [datetime.fromisoformat(row["created_at"]) for row in whole]
    first, second = moments[11], moments[3]
    assert first < second
    expected = [row for row, moment in zip(whole, moments, strict=True) if first <= moment < second]
    assert whole[3] not in expected
    assert whole[11] in expected
    query = {"from": first.isoformat(), "to": second.isoformat(), "limit": "100"}
    in_query = caller.client.get("/v1/transactions", query_string=query, headers=caller.headers)
    assert (in_query.json or {})["transactions"] == expected
    # The same moments by another clock, and with a plus sign that nobody escaped.
    elsewhere = {name: (moment + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
                 for name, moment in (("from", first), ("to", second))}  # fmt: skip
    assert asked(caller, f"limit=100&from={elsewhere['from']}&to={elsewhere['to']}") == expected
    assert asked(caller, f"from={(moments[0] + timedelta(days=2)).isoformat().replace('+00:00', 'Z')}") == []


def test_pages_of_any_size_are_the_whole_with_two_wallets_interleaved(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    a_life(caller)
    whole = asked(caller)
    switches = sum(one["wallet"] != other["wallet"] for one, other in pairwise(whole))
    assert switches >= 6
    for limit in (1, 2, 3, 5, 16, 17, 18):
        rows, pages = walked(caller, f"limit={limit}")
        assert rows == whole
        assert pages == -(-len(whole) // limit)
    assert asked(caller, "") == whole, "twenty unless told"


def test_what_happens_between_two_pages_moves_no_row_of_the_rest(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    a_life(caller)
    whole = asked(caller)
    first: dict[str, Any] = caller.get("/v1/transactions?limit=5").json or {}
    spent(caller, "minute")
    spent(caller, quantity=1)
    rest, pages = walked(caller, "limit=5", after=first["next"])
    assert first["transactions"] + rest == whole
    assert pages == 3


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_a_page_looks_at_so_many_transfers_and_the_walk_still_finds_all(
    sign_up: SignUp, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    caller = customer(sign_up)
    a_life(caller)
    whole = asked(caller)
    monkeypatch.setattr(transactions, "MOST_LOOKED_AT", most)
    for query, fits in (
        ("limit=3", lambda row: True),
        ("limit=3&type=purchase", lambda row: row["type"] == "purchase"),
        ("limit=1&wallet=minutes", lambda row: row["wallet"] == "minutes"),
        ("limit=2&action=tip", lambda row: row["action"] == "tip"),
        ("limit=2&action=nothing", lambda row: False),
    ):
        rows, pages = walked(caller, query)
        assert rows == [row for row in whole if fits(row)]
        # Each page looks at `most` of 22 transfers of two wallets, and never goes back.
        assert pages <= 2 * (22 // most + 2)
    assert walked(caller, "limit=2&action=nothing")[1] > 1
    # Nothing that is older than the first moment is looked for.
    later = datetime.fromisoformat(whole[0]["created_at"]) + timedelta(days=2)
    assert walked(caller, f"limit=2&from={later.isoformat().replace('+00:00', 'Z')}") == ([], 1)


@pytest.mark.usefixtures("pristine")
def test_a_page_is_reached_by_index_however_deep(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    a_life(caller)
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if "FROM transfers" in statement:
            statements.append((statement, parameters))

    def plans(**wanted: Any) -> list[str]:
        statements.clear()
        event.listen(engine(), "before_cursor_execute", note)
        with sessions() as session:
            transactions.page(session, user_id=id_of(caller), limit=2, after=9, wanted=Wanted(**wanted))
            event.remove(engine(), "before_cursor_execute", note)
            explain = "EXPLAIN QUERY PLAN"
            if is_postgresql(session):
                # The table is nearly empty: without this no index is worth its while.
                session.execute(text("SET LOCAL enable_seqscan = off"))
                explain = "EXPLAIN"
            return [
                str(session.connection().exec_driver_sql(f"{explain} {statement}", parameters).all())
                for statement, parameters in statements
            ]

    for wanted in ({}, {"type": Type.purchase}, {"action": "tip"}):
        found = plans(**wanted)
        assert len(found) == 2 * 2
        for plan in found:
            assert "ix_transfers_wallet_id_id" in plan
            # Both the wallet and the place within it are looked up, not read past.
            by_both = "Index Cond: ((ROW(wallet_id, id) >= ROW(" in plan and "ROW(wallet_id, id) < ROW(" in plan
            assert by_both or "(wallet_id=? AND id>? AND id<?)" in plan.replace("rowid", "id")
    assert ["ix_transfers_job_id" in plan for plan in plans(job_id=uuid4())] == [True, True]


def test_rows_of_others_never_appear(sign_up: SignUp) -> None:
    caller, stranger = customer(sign_up), sign_up()
    ids = a_life(caller)
    own = asked(stranger)
    assert [(row["wallet"], row["amount"]) for row in own] == [("minutes", 10), ("credits", 100)]
    highest = int(asked(caller)[0]["id"])
    for query in (f"job_id={ids['done']}", "action=image", f"after={highest}&type=refund", "type=purchase"):
        assert asked(stranger, query) == []
    assert asked(stranger, f"after={highest}") == own
    assert {row["id"] for row in own}.isdisjoint(row["id"] for row in asked(caller))
    assert id_of(stranger) != id_of(caller)


def test_bad_values_and_unknown_parameters_are_refused_by_name(caller: Caller) -> None:
    for query, field in (
        ("wallet=Credits", "wallet"),
        ("type=gift", "type"),
        ("action=a%00b", "action"),
        ("from=yesterday", "from"),
        ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("from=1767225600", "from"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("from=2026-01-01T00:00:00%2B99:00", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", "to"),
        ("job_id=1", "job_id"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=newest", "after"),
        ("after=9223372036854775808", "after"),
        ("after=-1", "after"),
        ("format=xml", "format"),
        ("since=2026-01-01T00:00:00Z", "since"),
        ("user_id=1", "user_id"),
    ):
        for accept in ("application/json", "text/csv"):
            answer = caller.get(f"/v1/transactions?{query}", Accept=accept)
            assert answer.status_code == 422, query
            assert [error["field"] for error in (answer.json or {})["errors"]] == [field]


def test_a_statement_needs_its_owner(client: FlaskClient) -> None:
    for query in ("", "?format=csv", "?nonsense=1"):
        answer = client.get(f"/v1/transactions{query}")
        assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthorized")
