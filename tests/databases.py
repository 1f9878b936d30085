"""One PostgreSQL database for many tests: emptied between them, which takes milliseconds; a new one takes a quarter of
a second. A test that changed more than rows, or wrote very many, leaves it to be thrown away."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg

from ops import embedded

TEMPLATE = "migrated"

MOST_GROWTH = 8 * 2**20
"""Bytes; what was deleted still takes its place, and would slow the tests that follow."""

STRUCTURE = """
    SELECT (SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY oid) FROM pg_trigger),
           (SELECT string_agg(nspname::text, ',' ORDER BY oid) FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%temp_%'),
           (SELECT string_agg(relname::text, ',' ORDER BY oid) FROM pg_class WHERE relkind IN ('r', 'i', 'S', 'v')),
           (SELECT string_agg(conname::text, ',' ORDER BY oid) FROM pg_constraint),
           (SELECT count(*) FROM pg_attribute WHERE attnum > 0),
           (SELECT string_agg(proname::text, ',' ORDER BY oid) FROM pg_proc),
           (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting s
            JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database())
"""

KEPT = ("alembic_version", "catalog_versions")
"""Tables with rows that a migrated database begins with."""


class Databases:
    """Gives migrated databases with the default preset, one at a time."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._url = ""
        self._structure: Any = None
        self._size = 0
        self._emptying = ""

    def throw_away(self) -> None:
        """Give a new one next time: for tests of query plans, which go by what statistics remember."""
        self._url = ""

    def clean(self) -> str:
        """The URL of a database in which nothing has happened."""
        if self._url:
            try:
                with psycopg.connect(self._url, options="-c lock_timeout=1s", autocommit=True) as connection:
                    if self._as_it_was(connection):
                        connection.execute(self._emptying)
                        return self._url
            except psycopg.Error:
                pass  # somebody still uses it, or broke it: the next test shall not suffer from that
        return self._new()

    def _new(self) -> str:
        self._url = embedded.create_database(self._server_url, f"test_{uuid4().hex}", template=TEMPLATE)
        with psycopg.connect(self._url, autocommit=True) as connection:
            self._structure = connection.execute(STRUCTURE).fetchone()
            self._size = _size(connection)
            tables = [
                row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ]
            sequences = [row[0] for row in connection.execute("SELECT sequencename FROM pg_sequences")]
            last = connection.execute("SELECT max(id) FROM catalog_versions").fetchone()
        kept = last[0] if last else 0
        self._emptying = ";".join(
            [
                "SET session_replication_role = replica",
                *(f"DELETE FROM {table}" for table in tables if table not in KEPT),
                f"DELETE FROM catalog_versions WHERE id > {kept}",
                *(f"ALTER SEQUENCE {name} RESTART" for name in sequences if name != "catalog_versions_id_seq"),
                f"ALTER SEQUENCE catalog_versions_id_seq RESTART {kept + 1}",
            ]
        )
        return self._url

    def _as_it_was(self, connection: psycopg.Connection[Any]) -> bool:
        grown = _size(connection) - self._size
        return grown < MOST_GROWTH and connection.execute(STRUCTURE).fetchone() == self._structure


def _size(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])
