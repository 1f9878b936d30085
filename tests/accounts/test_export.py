"""Export: everything about a user, nothing about others, no secrets, and never all in memory at once."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from unittest import mock
from uuid import UUID

from flask.testing import FlaskClient
from sqlalchemy import event, insert, select, text

from models import administration, export, ledger
from models.audit_log import Actor, By
from models.database import Base, engine, is_postgresql, sessions
from models.export import NOTHING_OF_THEIRS, SECTIONS
from models.ledger import Source, Transfer
from models.places import Place
from models.users import Role
from tests.accounts.lives import live, shop
from tests.accounts.people import ANN, code_of, id_of, join, verified
from tests.http.conftest import Caller
from tests.ledger import books

CANARY = "canary-of-somebody-else"


def exported(caller: Caller) -> dict[str, Any]:
    answer = caller.get("/v1/me/export")
    assert answer.status_code == 200, answer.json
    assert answer.content_type == "application/json"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="export.json"'
    assert answer.is_streamed
    document: dict[str, Any] = json.loads(answer.get_data(as_text=True))
    return document


def test_every_table_that_knows_of_users_is_in_it_or_said_not_to_be(app: Any) -> None:
    theirs = {"users", "wallets"}
    while True:
        more = {
            table.name
            for table in Base.metadata.tables.values()
            if {"user_id", "wallet_id"} & {column.name for column in table.columns}
            or any(key.column.table.name in theirs for key in table.foreign_keys)
        }
        if more <= theirs:
            break
        theirs |= more
    covered = {section.table.name for section in SECTIONS}
    assert theirs - covered == set(NOTHING_OF_THEIRS)
    assert covered - theirs == {"audit_log"}


def test_no_column_of_it_is_a_secret() -> None:
    for section in SECTIONS:
        for column in section.shown:
            assert not any(word in column for word in ("hash", "password", "token", "secret", "digest")), column
    assert {"lease_until", "user_id"} & {c for section in SECTIONS for c in section.shown} == set()


def test_it_has_a_row_of_everything(client: FlaskClient) -> None:
    shop()
    caller, other = verified(client), verified(client, "bob@example.com")
    live(caller, client, word="canary")
    live(other, client, word=CANARY)
    document = exported(caller)
    assert (document["object"], document["user_id"]) == ("export", str(id_of(caller)))
    names = [section.name for section in SECTIONS]
    assert list(document) == ["object", "user_id", "created_at", *names]
    empty = {name for name in names if not document[name]}
    assert empty == {"brought_by_somebody", "decisions"}
    [profile] = document["profile"]
    assert (profile["id"], profile["email"], profile["name"]) == (str(id_of(caller)), ANN, "canary Ångström")
    [job] = document["jobs"]
    assert job["input"]["prompt"] == "prompt of canary"
    output, answer = job["outputs"]
    assert answer == {"type": "text", "text": "answer to canary", "index": 1}
    assert (output["url"], output["index"], "key" in output) == (f"/v1/jobs/{job['id']}/outputs/0", 0, False)
    assert document["saved_replies"][0]["text"] == "reply canary"
    assert document["spends"][0]["input"]["reference"] == "item-7"
    assert document["redemptions"][0]["code"] == "WELCOME"
    assert document["subscriptions"][0]["plan"] == "few"
    assert document["brought"][0].keys() == {"created_at", "rewarded_at"}
    assert document["places"][0]["item"] == "item-canary"
    assert document["emails"][0]["template"] == "verify_address"
    assert len(document["sessions"]) == 2
    kinds = {wallet["id"]: wallet["kind"] for wallet in document["wallets"]}
    sums = dict.fromkeys(kinds.values(), 0)
    for each in document["transfers"]:
        sums[kinds[each["wallet_id"]]] += each["amount"] * (
            (each["target"] == "available") - (each["source"] == "available")
        )
    assert sums == {wallet["kind"]: wallet["available"] for wallet in document["wallets"]}


def test_it_has_nothing_of_anybody_else_and_no_secret(client: FlaskClient) -> None:
    shop()
    caller, other = verified(client), verified(client, "bob@example.com")
    live(caller, client, word="canary")
    live(other, client, word=CANARY)
    with sessions() as session:
        everybody = {str(each) for each in session.scalars(text("SELECT id FROM users"))}
    written = json.dumps(exported(caller))
    assert CANARY not in written
    assert "bob@example.com" not in written
    strangers = {UUID(each) for each in everybody} - {id_of(caller)}
    assert len(strangers) == 3
    assert not any(str(each) in written or each.hex in written for each in strangers)
    with sessions() as session:
        for column in ("key_hash FROM api_keys", "token_hash FROM one_time_tokens", "password_hash FROM users"):
            for secret in session.scalars(text(f"SELECT {column}")):
                assert secret not in written
    assert exported(other)["profile"][0]["email"] == "bob@example.com"


def test_who_was_brought_by_whom_is_not_told_to_either(client: FlaskClient) -> None:
    shop()
    caller = verified(client)
    friend = verified(client, "friend@example.com", referral_code=(caller.get("/v1/referrals").json or {})["code"])
    mine, theirs = exported(caller), exported(friend)
    assert str(id_of(friend)) not in json.dumps(mine)
    assert str(id_of(caller)) not in json.dumps(theirs)
    assert [lot["ref"] for lot in mine["lots"] if lot["source"] == "referral"] == ["referral"]
    assert [lot["issued"] for lot in theirs["lots"] if lot["source"] == "referral"] == [10]
    assert (len(mine["brought"]), len(theirs["brought_by_somebody"])) == (1, 1)


def test_decisions_about_the_user_are_in_it_and_not_who_took_them(client: FlaskClient) -> None:
    caller, admin = join(client), join(client, "root@example.com")
    with sessions() as session:
        administration.change(
            session, by=By(Actor.admin, id_of(admin)), user_id=id_of(caller), role=Role.support, reason="A good reason"
        )
    document = exported(caller)
    [decision] = document["decisions"]
    assert (decision["verb"], decision["after"]) == ("user.role", {"role": "support"})
    assert str(id_of(admin)) not in json.dumps(document)
    assert "A good reason" not in json.dumps(document)


def test_it_comes_in_pages_that_miss_and_repeat_nothing(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    for who in (caller, other):
        with sessions() as session:
            for kind in ("credits", "tips"):
                wallet = ledger.open_wallet(session, user_id=id_of(who), kind=kind)
                for number in range(7):
                    ledger.grant(
                        session, wallet_id=wallet, amount=number + 1, source=Source.admin, ref=f"{wallet}:{number}"
                    )
            for number in range(7):
                session.execute(
                    insert(Place).values(user_id=id_of(who), limit_name=f"l{number % 2}", item=f"i{number}")
                )
    with mock.patch("models.export.PAGE", 3):
        document = exported(caller)
    with sessions() as session:
        wallets = ledger.wallet_ids(session, user_id=id_of(caller)).values()
        expected = session.scalars(
            select(Transfer.id).where(Transfer.wallet_id.in_(wallets)).order_by(Transfer.wallet_id, Transfer.id)
        ).all()
    assert [each["id"] for each in document["transfers"]] == list(expected)
    assert len(expected) == 15
    assert len({(each["limit_name"], each["item"]) for each in document["places"]}) == len(document["places"]) == 7
    assert document == {**exported(caller), "created_at": document["created_at"]}


def test_a_long_history_does_not_take_the_memory(client: FlaskClient) -> None:
    """Its text alone is 2 MB, and as rows it is several times that; what is taken is some pages."""
    caller = join(client)
    with sessions() as session:
        wallet = ledger.wallet_ids(session, user_id=id_of(caller))["credits"]
    lot = books.lot(wallet, 1, ref="long")
    with sessions() as session:
        # Credits that go back and forth: the books still balance.
        session.execute(
            text(
                """
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
                INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)
                SELECT :wallet, :lot, 1, CASE i % 2 WHEN 0 THEN 'available' ELSE 'held' END,
                       CASE i % 2 WHEN 0 THEN 'held' ELSE 'available' END,
                       CASE i % 2 WHEN 0 THEN 'hold' ELSE 'release' END, 'long:' || i, 1 FROM n
                """
            ),
            {"wallet": wallet, "lot": lot},
        )
    with mock.patch("models.export.PAGE", 100):
        answer = caller.get("/v1/me/export")
        tracemalloc.start()
        size = sum(len(piece) for piece in answer.response)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size > 2_000_000
    assert peak < size / 2
    answer.close()


def test_pages_go_by_the_index_and_not_past_the_rows_of_others(client: FlaskClient) -> None:
    caller = join(client)
    with sessions() as session:
        wallet = ledger.wallet_ids(session, user_id=id_of(caller))["credits"]
        for number in range(5):
            ledger.grant(session, wallet_id=wallet, amount=1, source=Source.admin, ref=f"lot:{number}")
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine(), "before_cursor_execute", note)
    section = next(each for each in SECTIONS if each.name == "transfers")
    with mock.patch("models.export.PAGE", 2):
        assert [len(page) for page in export.pages(sessions, id_of(caller), section)] == [2, 2, 2]
    event.remove(engine(), "before_cursor_execute", note)
    statement, parameters = [each for each in asked if "FROM transfers" in each[0]][-1]
    with sessions() as session:
        if is_postgresql(session):
            session.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN" if is_postgresql(session) else "EXPLAIN QUERY PLAN"
        plan = session.connection().exec_driver_sql(f"{explain} {statement}", parameters).all()
    assert any("ix_transfers_wallet_id_id" in str(step) for step in plan), plan


def test_it_is_for_the_user_alone(client: FlaskClient) -> None:
    caller = join(client)
    assert code_of(client.get("/v1/me/export")) == (401, "unauthorized")
    key = (caller.post("/v1/api-keys", {"name": "x", "scopes": ["account:read", "jobs:read"]}).json or {})["key"]
    answer = client.get("/v1/me/export", headers={"Authorization": f"Bearer {key}"})
    assert code_of(answer) == (403, "scope_required")
