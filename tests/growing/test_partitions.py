"""`flask partitions split` on a database with a past: nothing is lost, and everything guards as it did before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import partitions, transactions
from models.audit import audit
from models.database import engine, readings, sessions
from models.ledger import Transfer
from ops import embedded
from tests.accounts.lives import live
from tests.accounts.people import verified
from tests.databases import TEMPLATE, in_use
from tests.security.estates import Estate, act, own_everything, undone
from web.commands.database import migrations_check
from web.commands.partitions import group
from web.shelf import shelf

PARTS = 4


@pytest.fixture(scope="module")
def house(app: Flask, postgresql_server: str) -> Iterator[tuple[Estate, Estate]]:
    url = embedded.create_database(postgresql_server, f"parts_{uuid4().hex}", template=TEMPLATE)
    shelf.look_again()
    with in_use(url):
        estates = own_everything(app.test_client())
        with readings() as session:
            before = _everything(session)
        answer = app.test_cli_runner().invoke(group, ["split", "--into", str(PARTS), "--yes"])
        assert answer.exit_code == 0, answer.output
        with readings() as session:
            assert _everything(session) == before
        assert f"{len(before):,} transfers are in {PARTS} partitions." in answer.output
        yield estates
    # What is sold here is not what others sell.
    shelf.look_again()


def test_a_house_goes_on_in_partitions(house: tuple[Estate, Estate], app: Flask) -> None:
    with sessions() as session:
        assert audit(session) == []
        assert len(partitions.parts(session.connection())) == PARTS
        shown, _ = transactions.page(session, user_id=house[0].user_id, limit=5)
        assert shown
    # Everything that happens in a house, to somebody new, in the partitions.
    client = app.test_client()
    live(verified(client, "cy@example.com"), client, word="vixen")
    with sessions() as session:
        assert audit(session) == []
    checked = app.test_cli_runner().invoke(migrations_check)
    assert checked.exit_code == 0, checked.output
    again = app.test_cli_runner().invoke(group, ["split", "--yes"])
    assert (again.exit_code, "in partitions already" in again.output) == (1, True)
    assert f"transfers_{PARTS - 1:03}" in app.test_cli_runner().invoke(group, ["show"]).output


def test_what_guarded_the_whole_guards_each_part(house: tuple[Estate, Estate]) -> None:
    columns = "wallet_id, lot_id, amount, source, target, reason, ref, balance_after"
    insert = f"INSERT INTO transfers ({columns}) SELECT"
    with engine().connect() as connection:
        part = connection.execute(text("SELECT tableoid::regclass::text FROM transfers LIMIT 1")).scalar_one()
    for statement, why in (
        (f"{insert} {columns} FROM transfers LIMIT 1", f"uq_{part[:-4]}"),
        (f"{insert} wallet_id, 0, 1, source, target, reason, 'x', 1 FROM transfers LIMIT 1", "fk_transfers_lot_id"),
        (f"{insert} wallet_id, lot_id, 0, source, target, reason, 'x', 1 FROM transfers LIMIT 1", "amount_positive"),
        *(
            (change.format(table=table), "append-only")
            for table in ("transfers", part)
            for change in ("DELETE FROM {table}", "TRUNCATE {table}", "UPDATE {table} SET amount = amount + 1")
        ),
    ):
        with engine().connect() as connection, pytest.raises(DBAPIError, match=why):
            connection.execute(text(statement))


def test_the_wall_stands_around_the_parts_as_well(house: tuple[Estate, Estate]) -> None:
    ann, bob = house
    with undone() as connection:
        names = [part.table for part in partitions.parts(connection)]
        mine = connection.execute(
            text("SELECT count(*) FROM transfers JOIN wallets ON wallets.id = wallet_id WHERE user_id = :me"),
            {"me": ann.user_id},
        ).scalar_one()
        assert mine
        act(connection, ann.user_id)
        assert connection.execute(text("SELECT count(*) FROM transfers")).scalar_one() == mine
        for name in names:
            with pytest.raises(DBAPIError, match="permission denied"), connection.begin_nested():
                connection.execute(text(f"SELECT count(*) FROM {name}"))
    with undone() as connection:
        # Even if somebody let requests read a partition by its own name, each would find its user's rows alone.
        for name in names:
            connection.execute(text(f"GRANT SELECT ON {name} TO coinop_tenant"))
        act(connection, ann.user_id)
        seen = [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names]
        assert sum(seen) == mine
    assert ann.user_id != bob.user_id


def _everything(session: Any) -> list[Any]:
    table = Transfer.__table__
    return list(session.execute(table.select().order_by(table.c.id)).all())
