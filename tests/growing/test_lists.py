"""Lists are answered from an index in the order in which they are shown, each filter too: as they are asked for over
HTTP, on PostgreSQL, with what the walls between users add to each statement."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import Connection, event

from models import database as db
from models import directory, pages, transactions
from models.database import engine
from models.users import Role
from ops import embedded
from tests.accounts.people import id_of, join
from tests.admin.house import having
from tests.databases import TEMPLATE, in_use
from tests.growing.filling import DAYS, fill
from tests.http.conftest import Caller
from web.shelf import shelf

LARGE = re.compile(
    r"FROM (jobs|transfers|spends|payments|invoices|saved_replies|notices|redemptions|logins|uploads|emails|audit_log"
    r"|gateway_events)\b"
)
PAGES = 4
LOOKED_AT = 100
LIMIT = 10
MOST_READ = 4 * LOOKED_AT
"""Rows of a large table that one request may read: its pages of one or two wallets, and the filter's."""


@dataclass
class Read:
    """What was read of large tables for one request: rows, and what was wrong about the way they were found."""

    rows: int = 0
    asked: int = 0
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def house(app: Flask, postgresql_server: str) -> Iterator[tuple[Caller, Caller]]:
    """Somebody with many rows of long ago, and an admin."""
    url = embedded.create_database(postgresql_server, f"lists_{uuid4().hex}", template=TEMPLATE)
    shelf.look_again()
    with in_use(url):
        client = app.test_client()
        ann, root = join(client), having(client, "root@example.com", Role.admin)
        fill(url, id_of(ann))
        yield ann, root
    # What is sold here is not what others sell.
    shelf.look_again()


@pytest.fixture(autouse=True)
def few_are_looked_at() -> Iterator[None]:
    with (
        mock.patch.object(pages, "MOST_LOOKED_AT", LOOKED_AT),
        mock.patch.object(directory, "MOST_LOOKED_AT", LOOKED_AT),
        mock.patch.object(transactions, "MOST_LOOKED_AT", LOOKED_AT),
    ):
        yield


MINE = (
    "/v1/jobs", "/v1/jobs?status=failed", "/v1/jobs?status=running", "/v1/transactions",
    "/v1/transactions?type=purchase", "/v1/transactions?wallet=credits&action=chat", "/v1/spends", "/v1/payments",
    "/v1/invoices", "/v1/saved-replies", "/v1/notices", "/v1/redemptions", "/v1/me/sessions", "/v1/uploads",
)  # fmt: skip
ADMINS = (
    "/jobs", "/jobs?status=failed", "/jobs?status=queued", "/jobs?action=nothing", "/jobs?kind=video",
    "/jobs?error_code=provider_error", "/jobs?user_id={ann}", "/jobs?user_id={ann}&status=failed",
    "/jobs?from=2020-01-01T00:00:00Z&until=2021-01-01T00:00:00Z", "/jobs?until={long_ago}", "/jobs?from={long_ago}",
    "/events", "/events?state=failed", "/events?type=nothing", "/events?object_id=in_7",
    "/emails", "/emails?state=refused", "/emails?template=welcome", "/emails?user_id={ann}",
    "/emails?user_id={ann}&state=queued",
    "/audit-log", "/audit-log?target=user:{ann}", "/audit-log?actor=admin_key", "/audit-log?actor_id={ann}",
    "/users/{ann}/transactions", "/users/{ann}/payments",
)  # fmt: skip


def test_a_list_of_ones_own_costs_the_same_however_long_and_deep(house: tuple[Caller, Caller]) -> None:
    wrong = [fault for path in MINE for fault in walk(house[0], path)]
    assert not wrong, "\n".join(wrong)


def test_a_list_of_everybodys_costs_the_same_however_long_and_deep(house: tuple[Caller, Caller]) -> None:
    ann, root = house
    long_ago = (datetime.now(UTC) - timedelta(days=DAYS * 3 // 4)).isoformat(timespec="seconds").replace("+00:00", "Z")
    paths = [f"/v1/admin{path}".format(ann=id_of(ann), long_ago=long_ago) for path in ADMINS]
    wrong = [fault for path in paths for fault in walk(root, path)]
    assert not wrong, "\n".join(wrong)


def walk(caller: Caller, path: str) -> Iterator[str]:
    """Read a list page after page for a while, and tell what was wrong about how it was found."""
    after: str | None = ""
    for _ in range(PAGES):
        with looked_at() as read:
            place = f"{'&' if '?' in path else '?'}limit={LIMIT}" + (f"&after={after}" if after else "")
            answer = caller.get(path + place)
        assert answer.status_code == 200, (path, answer.json)
        assert read.asked, f"{path}: nothing was asked of a large table"
        yield from (f"{path}: {fault}" for fault in read.wrong)
        if read.rows > MOST_READ:
            yield f"{path}: read {read.rows} rows"
        after = (answer.json or {}).get("next")
        if after is None:
            return


@contextmanager
def looked_at() -> Iterator[Read]:
    """Have PostgreSQL tell how it answers each query, of the same user and in the same transaction."""
    read = Read()

    def explain(connection: Connection, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if not statement.startswith("SELECT") or not LARGE.search(statement):
            return
        read.asked += 1
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
        plan = cursor.fetchone()[0]  # type: ignore[index]
        cursor.close()
        _add(read, (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"], statement)

    event.listen(engine(), "before_cursor_execute", explain)
    event.listen(db._autocommitting(engine()), "before_cursor_execute", explain)
    try:
        yield read
    finally:
        event.remove(engine(), "before_cursor_execute", explain)
        event.remove(db._autocommitting(engine()), "before_cursor_execute", explain)


def _add(read: Read, node: dict[str, Any], statement: str) -> None:
    kind, parts = node["Node Type"], node.get("Plans", [])
    loops = node["Actual Loops"]
    if "Relation Name" in node and LARGE.search(f"FROM {node['Relation Name']}"):
        seen = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        read.rows += int(seen * loops)
        if kind == "Seq Scan":
            read.wrong.append(f"reads all of {node['Relation Name']}: {statement}")
    if "Sort" in kind and sum(part["Actual Rows"] * part["Actual Loops"] for part in parts) > LOOKED_AT:
        read.wrong.append(f"sorts: {statement}")
    for part in parts:
        _add(read, part, statement)
