"""The walls that row-level security puts between users, in the database itself: PostgreSQL only, SQLite has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.exc import DBAPIError

from config import settings
from models import walls
from models.acting import Whom, acting_for, everyone
from models.database import Base, Prepared, Sender, at_once, engine, readings, sessions
from models.jobs import Job
from models.ledger import Transfer
from models.referrals import Referral
from models.users import User
from ops import embedded
from tests.databases import TEMPLATE, in_use
from tests.security.estates import Estate, act, counted, is_of, may, of_users, own_everything, undone

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")


@pytest.fixture(scope="module")
def estates(app: Any, postgresql_server: str) -> Iterator[tuple[Estate, Estate]]:
    """Made once, for it takes long; whatever is done to them here is undone."""
    url = embedded.create_database(postgresql_server, f"estates_{uuid4().hex}", template=TEMPLATE)
    with in_use(url):
        yield own_everything(app.test_client())


@pytest.fixture
def owner(estates: object) -> Iterator[Connection]:
    with engine().connect() as connection:
        yield connection


@pytest.fixture
def off(estates: object) -> Iterator[None]:
    """As if ROW_LEVEL_SECURITY were false."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROW_LEVEL_SECURITY", "false")
        settings.cache_clear()
        yield
    settings.cache_clear()


def test_every_table_is_behind_a_wall_or_is_said_to_be_nobodys(owner: Connection) -> None:
    walled = set(
        owner.execute(
            text("""
                SELECT relname FROM pg_class WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace
                AND oid IN (SELECT polrelid FROM pg_policy)
            """)
        ).scalars()
    )
    assert walled | walls.SHARED.keys() == Base.metadata.tables.keys(), "each table needs a policy, or a reason"
    assert walled.isdisjoint(walls.SHARED)
    assert all(shared.reason for shared in walls.SHARED.values())
    # A table with an owner's column is nobody's only in error.
    for table in walls.SHARED:
        assert not {"user_id", "wallet_id", "login_id"} & set(Base.metadata.tables[table].columns.keys())


def test_a_request_may_do_no_more_than_is_written_down(owner: Connection) -> None:
    for table in Base.metadata.tables:
        expected = walls.SHARED[table].privileges if table in walls.SHARED else walls.LESS.get(table, walls.EVERYTHING)
        allowed = [privilege for privilege in PRIVILEGES if may(owner, table, privilege)]
        assert ", ".join(allowed) == expected, table
        assert not any(may(owner, table, privilege) for privilege in ("TRUNCATE", "REFERENCES", "TRIGGER")), table


def test_a_statement_without_where_is_about_ones_own_rows(estates: tuple[Estate, Estate]) -> None:
    ann, bob = estates
    for table in of_users():
        column = Base.metadata.tables[table].columns.keys()[0]
        with undone() as connection:
            hers, his, all_ = (counted(connection, table, me) for me in (ann.user_id, bob.user_id, None))
            assert hers, f"nothing in {table}: give it a row in `own_everything`"
            assert his, table
            act(connection, ann.user_id)
            found = connection.execute(text(f"SELECT * FROM {table}")).all()
            assert len(found) == hers == counted(connection, table, ann.user_id) < all_, table
            for statement, privilege in (
                (f"UPDATE {table} SET {column} = {column}", "UPDATE"),
                (f"DELETE FROM {table}", "DELETE"),
            ):
                assert done(connection, statement) == (hers if may(connection, table, privilege) else None), table
            connection.exec_driver_sql("RESET ROLE")
            assert counted(connection, table, bob.user_id) == his, table


def test_nobody_has_any_rows(estates: tuple[Estate, Estate]) -> None:
    with engine().connect() as connection:
        act(connection, None)
        assert {table: counted(connection, table) for table in of_users()} == dict.fromkeys(of_users(), 0)
    with engine().connect() as connection:
        # The role alone, without being told who: as nobody.
        connection.exec_driver_sql("SET LOCAL ROLE coinop_tenant")
        assert {table: counted(connection, table) for table in of_users()} == dict.fromkeys(of_users(), 0)
    for whom, seen in ((Whom.nobody, 0), (Whom.everyone, 4 + 2)):
        with acting_for(whom), readings() as session:
            assert session.scalar(select(func.count()).select_from(User)) == seen


def test_nothing_can_be_written_for_others(estates: tuple[Estate, Estate]) -> None:
    ann, bob = estates
    for table in of_users():
        made = Base.metadata.tables[table]
        with undone() as connection:
            row = _taken_out(connection, made, bob.user_id)
            allowed = may(connection, table, "INSERT")
            act(connection, ann.user_id)
            assert refused(connection, made.insert().values(row)) == ("policy" if allowed else "privilege"), table
            act(connection, bob.user_id)
            assert refused(connection, made.insert().values(row)) == (None if allowed else "privilege"), table


def test_nothing_of_ones_own_can_be_given_to_others(estates: tuple[Estate, Estate]) -> None:
    ann, bob = estates
    given = 0
    with undone() as connection:
        his_wallet, his_login = (
            connection.execute(
                text(f"SELECT id FROM {table} WHERE user_id = :me LIMIT 1"), {"me": bob.user_id}
            ).scalar()
            for table in ("wallets", "logins")
        )
        act(connection, ann.user_id)
        for table in of_users():
            for column, his in (
                ("user_id", bob.user_id),
                ("wallet_id", his_wallet),
                ("login_id", his_login),
            ):
                if column in Base.metadata.tables[table].columns and may(connection, table, "UPDATE"):
                    moved = text(f"UPDATE {table} SET {column} = :his").bindparams(his=his)
                    assert refused(connection, moved) == "policy", table
                    given += 1
    assert given >= 20


def test_a_referral_is_seen_by_both_and_by_nobody_else(estates: tuple[Estate, Estate]) -> None:
    ann, bob = estates
    with readings() as session:
        ours = session.scalars(select(Referral.referred_id).where(Referral.referrer_id == ann.user_id)).all()
    for user_id, seen in ((ann.user_id, set(ours)), *((each, {each}) for each in ours)):
        with acting_for(user_id), readings() as session:
            assert set(session.scalars(select(Referral.referred_id))) == seen
    with acting_for(bob.user_id), readings() as session:
        assert set(session.scalars(select(Referral.referred_id))).isdisjoint(ours)


def test_a_verb_that_forgets_whose_rows_it_is_about_finds_the_callers(estates: tuple[Estate, Estate]) -> None:
    every_job = Prepared(select(func.count(), func.sum(Job.held)).select_from(Job))
    for one in estates:
        with acting_for(one.user_id):
            for opened in (sessions, readings):
                with opened() as session:
                    assert {job.user_id for job in session.scalars(select(Job))} == {one.user_id}
                    mine = session.execute(select(func.count(), func.sum(Job.held)).select_from(Job)).one()
                    assert session.get(Job, _job_of(next(other for other in estates if other is not one))) is None
            assert every_job.read() == tuple(mine)
            with at_once() as sender:
                assert _count(every_job, sender) == mine[0]
            with sessions() as session:
                assert _count(every_job, session) == mine[0]
                with session.begin_nested():
                    assert _count(every_job, session) == mine[0]
    with sessions() as session:
        assert {job.user_id for job in session.scalars(select(Job))} == {one.user_id for one in estates}


def test_transfers_of_others_are_no_part_of_a_sum(estates: tuple[Estate, Estate]) -> None:
    """What leaks need not be a row: sums over what is not one's own would tell as well."""
    sums = {}
    for one in estates:
        with acting_for(one.user_id), readings() as session:
            sums[one.user_id] = session.scalar(select(func.sum(Transfer.amount)))
    with readings() as session:
        whole = session.scalar(select(func.sum(Transfer.amount))) or 0
    assert 0 < sum(each or 0 for each in sums.values()) < whole


def test_switched_off_it_leaves_everything_to_the_queries(estates: tuple[Estate, Estate], off: None) -> None:
    with acting_for(estates[0].user_id):
        for opened in (sessions, readings):
            with opened() as session:
                assert session.scalar(text("SELECT current_user")) != "coinop_tenant"
                assert len({job.user_id for job in session.scalars(select(Job))}) == 2
        assert Prepared(select(func.count(Job.user_id.distinct()))).read() == (2,)


def test_a_reading_request_cannot_write(estates: tuple[Estate, Estate]) -> None:
    with (
        acting_for(estates[0].user_id),
        pytest.raises(DBAPIError, match="read-only transaction"),
        readings() as session,
    ):
        session.execute(text("UPDATE jobs SET version = version + 1"))


def test_who_acts_for_everyone_says_so_in_a_block(estates: tuple[Estate, Estate]) -> None:
    with acting_for(estates[0].user_id):
        with sessions() as mine, everyone(), sessions() as all_:
            # A transaction stays with whom it began for.
            assert mine.scalar(select(func.count(Job.user_id.distinct()))) == 1
            assert all_.scalar(select(func.count(Job.user_id.distinct()))) == 2
        with sessions() as session:
            assert session.scalar(select(func.count(Job.user_id.distinct()))) == 1


def test_walls_are_passed_by_index(estates: tuple[Estate, Estate]) -> None:
    ann, _ = estates
    with engine().connect() as connection, connection.begin() as transaction:
        connection.execute(
            text("""
                INSERT INTO users (id, email, password_hash)
                SELECT gen_random_uuid(), n || '@example.org', 'x' FROM generate_series(1, 5000) n
            """)
        )
        connection.exec_driver_sql("INSERT INTO wallets (user_id, kind) SELECT id, 'stones' FROM users")
        connection.execute(
            text("""
                INSERT INTO lots (wallet_id, source, ref, issued, available)
                SELECT w.id, 'admin', 'stones:' || w.id || ':' || n, 1, 1 FROM wallets w, generate_series(1, 4) n
                WHERE w.kind = 'stones'
            """)
        )
        connection.exec_driver_sql("ANALYZE")
        act(connection, ann.user_id)
        for table, index in (
            ("users", "pk_users"),
            ("wallets", "uq_wallets_user_id_kind"),
            ("lots", "ix_lots_wallet_id"),
        ):
            plan = "\n".join(connection.execute(text(f"EXPLAIN SELECT * FROM {table}")).scalars())
            assert index in plan, plan
            assert f"Seq Scan on {table}" not in plan
        transaction.rollback()


def done(connection: Connection, statement: str) -> int | None:
    """How many rows a statement was about, or None when a request may do no such thing."""
    with connection.begin_nested() as savepoint:
        try:
            return connection.exec_driver_sql(statement).rowcount
        except DBAPIError as error:
            if "permission denied" not in str(error):
                raise
            return None
        finally:
            savepoint.rollback()


def refused(connection: Connection, statement: Any) -> str | None:
    """What stood against a statement: a policy, a privilege that a request has not, or nothing."""
    with connection.begin_nested() as savepoint:
        try:
            connection.execute(statement)
        except DBAPIError as error:
            if "violates row-level security policy" in str(error):
                return "policy"
            if "permission denied" in str(error):
                return "privilege"
            raise
        finally:
            savepoint.rollback()
    return None


def _taken_out(connection: Connection, table: Table, user_id: UUID) -> dict[str, Any]:
    """A row of this user, which is not there any more, as it could be inserted again."""
    columns = [column for column in table.columns if column.computed is None]
    row = connection.execute(select(*columns).where(text(is_of(table.name))).limit(1), {"me": user_id}).one()
    values = dict(row._mapping)
    key = [column == values[column.name] for column in table.primary_key.columns]
    connection.execute(table.delete().where(*key))
    return values


def _job_of(estate: Estate) -> UUID:
    with everyone(), sessions() as session:
        return session.scalars(select(Job.id).where(Job.user_id == estate.user_id)).first()  # type: ignore[return-value]


def _count(statement: Prepared, sender: Sender) -> int:
    row = statement.one_or_none(sender)
    assert row is not None
    return int(row[0])
