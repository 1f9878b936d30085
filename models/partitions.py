"""Partitions: transfers in several tables by wallet, for a house whose one table has become too large to look after.

PostgreSQL only, and only once somebody asks for it (docs/adr/0011): each partition is vacuumed, analysed and reindexed
by itself, and none reaches the size at which PostgreSQL lets no table grow. All transfers of a wallet are in one
partition, so that its own unique `ref` guards that wallet as the one table's did; and what grants or takes back credits
is unique in lots and clawbacks, which are whole. A key is unique together with its wallet.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.ledger import Transfer

TABLE = Transfer.__tablename__
MOST = 256


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: its table, the rows that PostgreSQL thinks it has, and its bytes with indexes."""

    table: str
    rows: int
    size: int


def parts(connection: Connection) -> list[Part]:
    """The partitions of transfers, by name; none when they are one table."""
    asked = text("""
        SELECT part.relname, greatest(part.reltuples, 0)::bigint, pg_total_relation_size(part.oid)
        FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
        WHERE inhparent = to_regclass(:table) ORDER BY part.relname
    """)
    return [Part(*row) for row in connection.execute(asked, {"table": TABLE})]


def split(connection: Connection, *, into: int) -> int:
    """Copy all transfers into so many partitions, in the caller's transaction, and return how many there are.

    Everything the table had is there afterwards: checks, foreign keys, indexes, the triggers that refuse changes, and
    the wall between users, on the parent and on each partition. Locks the table against everyone; nothing may be
    running. Raises `ValueError` when it is partitioned already, or when the copy has not all that there was.
    """
    if not 2 <= into <= MOST:
        raise ValueError(f"expected 2 to {MOST} partitions")
    if parts(connection):
        raise ValueError("the transfers are in partitions already")
    run = connection.exec_driver_sql
    run(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    before = _sums(connection, TABLE)
    kept = _definitions(connection)
    columns = ", ".join(column.name for column in Transfer.__table__.columns)
    run(f"ALTER TABLE {TABLE} RENAME TO {TABLE}_whole")
    run(f"CREATE TABLE {TABLE} (LIKE {TABLE}_whole INCLUDING ALL EXCLUDING INDEXES) PARTITION BY HASH (wallet_id)")
    names = [f"{TABLE}_{number:03}" for number in range(into)]
    for number, name in enumerate(names):
        run(f"CREATE TABLE {name} PARTITION OF {TABLE} FOR VALUES WITH (MODULUS {into}, REMAINDER {number})")
    run(f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE}_whole ORDER BY id")  # noqa: S608  # constants
    run(f"ALTER SEQUENCE {TABLE}_id_seq OWNED BY {TABLE}.id")
    run(f"DROP TABLE {TABLE}_whole")
    if _sums(connection, TABLE) != before:
        raise ValueError("the copy has not all that there was")
    run(f"ALTER TABLE {TABLE} ADD CONSTRAINT pk_{TABLE} PRIMARY KEY (id, wallet_id)")
    for name in names:
        run(f"ALTER TABLE {name} ADD CONSTRAINT uq_{name}_ref UNIQUE (ref)")
    for definition in kept:
        run(definition)
    # Row by row they hold on each partition as it is; what is about a whole table has to be said of each.
    for name in names:
        run(
            f"CREATE TRIGGER {TABLE}_never_truncated BEFORE TRUNCATE ON {name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_{TABLE}()"
        )
        run(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        run(f"CREATE POLICY own_rows ON {name} USING ({_policy(connection)})")
    run(f"ANALYZE {TABLE}")
    return int(before[0])


def _sums(connection: Connection, table: str) -> tuple[int, ...]:
    """What tells a copy with a row too few, or another: how many, their keys and their credits."""
    row = connection.exec_driver_sql(f"SELECT count(*), sum(id), sum(amount), sum(balance_after) FROM {table}").one()  # noqa: S608
    return tuple(int(value or 0) for value in row)


def _definitions(connection: Connection) -> list[str]:
    """What makes the indexes, foreign keys, triggers and the wall of the one table again, as PostgreSQL tells it."""
    asked = text("""
        SELECT pg_get_indexdef(indexrelid) FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid
        WHERE indrelid = CAST(:table AS regclass) AND pg_constraint.oid IS NULL
        UNION ALL
        SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', CAST(:table AS text), conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype = 'f'
        UNION ALL
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal
    """)
    found = [str(each) for each in connection.execute(asked, {"table": TABLE}).scalars()]
    wall = [f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY", f"CREATE POLICY own_rows ON {TABLE} USING (%s)"]
    return [*found, wall[0], wall[1] % _policy(connection)]


def _policy(connection: Connection) -> str:
    """Which transfers are a user's own, as the table's policy says it."""
    asked = text("SELECT qual FROM pg_policies WHERE tablename = :table AND policyname = 'own_rows' LIMIT 1")
    return str(connection.execute(asked, {"table": TABLE}).scalar_one())
