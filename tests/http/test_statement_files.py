"""GET /v1/transactions as a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from models import ledger, transactions
from models.database import engine, readings, sessions
from models.ledger import Account, Lot, Reason, Source, Transfer, Wallet
from tests.http.conftest import Caller
from tests.http.statements import a_job, customer, failed, spent, wallet_of
from tests.ledger import books
from web.transactions import COLUMNS, ROWS_PER_CHUNK

SignUp = Callable[[], Caller]
Row = dict[str, Any]
MANY = 3_000


def file(answer: TestResponse) -> list[Row]:
    """The rows of a file as JSON would have them; nothing in it was defused."""
    assert answer.status_code == 200, answer.text
    return _rows(answer.data.decode())


def _rows(text: str) -> list[Row]:
    head, *lines = csv.reader(StringIO(text, newline=""), strict=True)
    assert tuple(head) == COLUMNS
    rows = []
    for line in lines:
        row: Row = dict(zip(head, (cell or None for cell in line), strict=True))
        row["amount"], row["balance_after"] = int(row["amount"]), int(row["balance_after"])
        row["metadata"] = json.loads(row["metadata"] or "{}")
        rows.append(row)
    return rows


def pages(caller: Caller, query: str = "") -> list[Row]:
    rows: list[Row] = []
    after = ""
    while True:
        page: dict[str, Any] = caller.get(f"/v1/transactions?limit=100{query}{after}").json or {}
        rows += page["transactions"]
        if page["next"] is None:
            return rows
        after = f"&after={page['next']}"


def many_grants(caller: Caller, each: int = MANY) -> None:
    """So many lots of one credit in each of two wallets, in turns of changing length."""
    with sessions() as session:
        made: dict[int, Iterator[tuple[int, int]]] = {}
        for wallet in (wallet_of(caller), wallet_of(caller, "minutes")):
            had = session.scalars(select(Wallet.available).where(Wallet.id == wallet)).one()
            lots = [
                {"wallet_id": wallet, "source": Source.admin, "ref": f"many:{wallet}:{n}", "issued": 1, "available": 1}
                for n in range(each)
            ]
            ids = session.scalars(insert(Lot).returning(Lot.id, sort_by_parameter_order=True), lots).all()
            made[wallet] = zip(ids, range(had + 1, had + each + 1), strict=True)
            session.execute(update(Wallet).where(Wallet.id == wallet).values(available=had + each))
        one, other = made
        turns = ([one] * 7 + [other] * 3 + [one] * 1 + [other] * 5) * each
        transfers = []
        for wallet in turns:
            lot_and_balance = next(made[wallet], None)
            if lot_and_balance:
                transfers.append(
                    {
                        "wallet_id": wallet, "lot_id": lot_and_balance[0], "amount": 1, "source": Account.issued,
                        "target": Account.available, "reason": Reason.grant, "ref": f"many:{lot_and_balance[0]}",
                        "balance_after": lot_and_balance[1], "details": {"number": lot_and_balance[1]},
                    }
                )  # fmt: skip
        session.execute(insert(Transfer), transfers)


def held_connections() -> int:
    """How many connections of this process are out of their pools."""
    with readings() as session:
        pools: set[Any] = {engine().pool, session.get_bind().engine.pool}
    return sum(pool.checkedout() for pool in pools)


def test_the_file_is_the_statement(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    failed(a_job(caller))
    spent(caller, quantity=3, reference="anna")
    for answer in (caller.get("/v1/transactions?format=csv"), caller.get("/v1/transactions", Accept="text/csv")):
        assert file(answer) == pages(caller)
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="transactions.csv"'
        assert "Accept" in answer.headers["Vary"]
    lines = caller.get("/v1/transactions?format=csv").text.split("\r\n")
    assert lines[0] == (
        "id,created_at,wallet,type,amount,balance_after,action,kind,description,reason,source,job_id,spend_id,metadata"
    )
    assert lines[-1] == ""
    assert ",credits,debit,-3,97,tip,spend,Tip,spend,signup,," in lines[1]
    assert '"{""reference"": ""anna""}"' in lines[1]
    assert len(lines) == 1 + 5 + 1


def test_the_form_is_the_one_that_was_asked_for(caller: Caller) -> None:
    for accept, form, is_csv in (
        ("*/*", "", False), ("application/json, text/csv;q=0.5", "", False), ("text/csv, */*;q=0.1", "", True),
        ("text/csv", "?format=json", False), ("application/json", "?format=csv", True), ("text/html", "", False),
    ):  # fmt: skip
        answer = caller.get(f"/v1/transactions{form}", Accept=accept)
        assert (answer.status_code, answer.mimetype) == (200, "text/csv" if is_csv else "application/json")


def test_a_file_obeys_the_filters_and_the_limit_that_is_given(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    job = failed(a_job(caller))
    spent(caller, "minute")
    whole = pages(caller)
    for query in ("wallet=minutes", "type=refund", "action=image", f"job_id={job}", f"after={whole[1]['id']}",
                  "to=2020-01-01T00:00:00Z", "from=2020-01-01T00:00:00Z&type=debit"):  # fmt: skip
        expected = pages(caller, f"&{query}")
        assert expected != whole
        assert file(caller.get(f"/v1/transactions?format=csv&{query}")) == expected
    assert file(caller.get("/v1/transactions?format=csv&limit=2")) == whole[:2]
    assert file(caller.get(f"/v1/transactions?format=csv&limit=2&after={whole[1]['id']}")) == whole[2:4]
    assert file(caller.get("/v1/transactions?format=csv&type=expiry")) == [], "a head and no rows"


def test_a_limited_file_is_as_long_as_asked_however_little_each_read_finds(
    sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = customer(sign_up)
    for _ in range(5):
        spent(caller, "minute")
        spent(caller, quantity=1)
    whole = pages(caller)
    monkeypatch.setattr(transactions, "MOST_LOOKED_AT", 2)
    assert file(caller.get("/v1/transactions?format=csv&limit=7")) == whole[:7]
    assert file(caller.get("/v1/transactions?format=csv")) == whole


def test_a_long_file_is_read_and_sent_piece_by_piece(sign_up: SignUp, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = customer(sign_up)
    many_grants(caller)
    whole = pages(caller)
    assert len(whole) == 2 * MANY + 2
    reads = 0
    page = transactions.page

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        assert held_connections() == 0, "taken by the read itself, not before"
        found = page(*args, **kwargs)
        assert held_connections() == 1
        return found

    monkeypatch.setattr(transactions, "page", counted)
    answer = caller.client.get("/v1/transactions?format=csv", headers=caller.headers, buffered=False)
    assert "Content-Length" not in answer.headers
    chunks: list[str] = []
    for chunk in answer.iter_encoded():
        chunks.append(chunk.decode())
        assert reads == len(chunks), "nothing is read ahead"
        assert held_connections() == 0
        if len(chunks) == 3:
            # Nobody waits for a reader who is slow: anything can be written between two pieces.
            spent(caller, "minute")
    assert len(chunks) == -(-len(whole) // ROWS_PER_CHUNK) == 13
    assert max(chunk.count("\r\n") for chunk in chunks) <= ROWS_PER_CHUNK + 1
    assert _rows("".join(chunks)) == whole
    with readings() as session:
        session.execute(select(Wallet.id)).all()
        assert held_connections() == 1, "a connection that is out would have been seen"


def test_a_reader_who_goes_away_leaves_nothing_behind(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    many_grants(caller, ROWS_PER_CHUNK)
    answer = caller.client.get("/v1/transactions?format=csv", headers=caller.headers, buffered=False)
    assert next(answer.iter_encoded()).decode().count("\r\n") == ROWS_PER_CHUNK + 1
    answer.close()
    assert held_connections() == 0
    spent(caller, "minute")


def test_a_database_that_is_away_is_a_problem_and_not_half_a_file(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("", None, Exception("the server closed the connection"))

    monkeypatch.setattr(transactions, "page", away)
    answer = caller.get("/v1/transactions?format=csv")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert "Content-Disposition" not in answer.headers


def test_a_cell_that_a_spreadsheet_would_run_is_defused(sign_up: SignUp) -> None:
    caller = customer(sign_up)
    for first in ("=", "+", "-", "@", "\t", "\r"):
        title = first + 'HYPERLINK("https://example.com/?"&A1, "free, really")\r\nsecond line'
        details = {"title": title}
        books.once(ledger.grant, wallet_id=wallet_of(caller), amount=1, source=Source.promo, ref=first, details=details)
        spent(caller, quantity=2, reference="x=1")
        assert pages(caller)[1]["description"] == title, "JSON is not a spreadsheet"
        charge, grant, *_ = file(caller.get("/v1/transactions?format=csv"))
        assert grant["description"] == "'" + title
        assert (charge["amount"], charge["description"]) == (-2, "Tip"), "a number stays one, and so do harmless words"
        assert charge["metadata"] == {"reference": "x=1"}
