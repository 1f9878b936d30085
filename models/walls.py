"""Walls: what the role that users' requests run as may do on PostgreSQL, table by table (docs/adr/0008).

In a table that belongs to users row-level security leaves each request the rows of its user; the migration that makes
such a table gives it its policy. Tables that belong to nobody are named here, with what a request may do to them and
why. One that is neither is closed to requests, and the tests ask what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from models.database import Base
from models.wire import TENANT

EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
LESS = {
    "audit_log": "SELECT",
    "customers": "SELECT",
    "disputes": "SELECT",
    "invoices": "SELECT",
    "payment_lots": "SELECT",
    "payments": "SELECT",
    "refunds": "SELECT",
    "billed_subscriptions": "SELECT",
    "referrals": "SELECT",  # there are two users to each, and what is done to them acts for everyone
    "transfers": "SELECT, INSERT",
    "users": "SELECT, UPDATE",
}
"""What a request may do to its user's rows where that is not everything."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A table without owners: what a request may do to any row of it, and why that is no leak."""

    privileges: str
    reason: str


SHARED = {
    "attempts": Shared("", "what each run of a job cost the house; workers write it, and no request asks for it"),
    "gateway_events": Shared("", "what the gateway told; received and handled for everyone"),
    "mock_objects": Shared("", "the mock gateway's own, as Stripe's are Stripe's"),
    "reconciliation_marks": Shared("", "how far the walk through the gateway has come"),
    "catalog_versions": Shared("SELECT", "what is sold, for all to see"),
    "low_balance_walks": Shared("", "how far beat has come"),
    "mailboxes": Shared("", "which mailboxes had their sign-up credits; asked while nobody is signed in"),
    "outbox": Shared("INSERT", "names of tasks and ids; a request leaves them there and the relay fetches them"),
    "plan_allowances": Shared("SELECT, INSERT", "the terms of plans, stored when they are first sold"),
    "plan_versions": Shared("SELECT, INSERT", "the terms of plans, stored when they are first sold"),
    "provider_states": Shared("", "how the providers are doing, for workers"),
    "promotion_uses": Shared("SELECT, INSERT, UPDATE", "how many have redeemed a code, and not who"),
    "retention_marks": Shared("", "how far beat has come with what is forgotten"),
    "signs": Shared("", "what the parts of the house show of themselves, and nothing of users"),
    "try_windows": Shared("SELECT, INSERT, UPDATE", "counts by keyed hashes that tell nobody whose they are"),
}


class NoTenant(Exception):
    """The role is not there or is not what it should be, and this user of the database cannot change that."""


def admit(connection: Connection) -> None:
    """Make the role if it is not there, and grant it what it may do and nothing else.

    For the owner of the tables, after every migration; in the caller's transaction. Roles are the whole server's, so
    somebody else may be making it as well. Raises `NoTenant`, which says what a superuser has to run.
    """
    if not _exists(connection):
        refused = _try(connection, f"CREATE ROLE {TENANT} NOLOGIN NOINHERIT")
        if not _exists(connection):
            raise NoTenant(_please(connection)) from refused
    if _sees_everything(connection):
        raise NoTenant(
            f"The role {TENANT} is a superuser or has BYPASSRLS, so no wall would hold it. Have a superuser run\n\n"
            f"    ALTER ROLE {TENANT} NOSUPERUSER NOBYPASSRLS;\n\nand migrate again."
        )
    if not _may_become(connection):
        refused = _try(connection, f"GRANT {TENANT} TO CURRENT_USER")
        if not _may_become(connection):
            raise NoTenant(_please(connection)) from refused
    _grant(connection)


def _grant(connection: Connection) -> None:
    tables = sorted(Base.metadata.tables)
    run = connection.exec_driver_sql
    run(f"REVOKE ALL ON {', '.join(tables)} FROM {TENANT}")
    for table in tables:
        privileges = SHARED[table].privileges if table in SHARED else LESS.get(table, EVERYTHING)
        if privileges and (table in SHARED or _walled(connection, table)):
            run(f"GRANT {privileges} ON {table} TO {TENANT}")
    for sequence in connection.execute(_SEQUENCES, {"tables": tables}).scalars():
        run(f"GRANT USAGE ON SEQUENCE {sequence} TO {TENANT}")
    schema = connection.execute(_CLOSED_SCHEMA, {"role": TENANT}).scalar()
    if schema is not None:
        run(f"GRANT USAGE ON SCHEMA {schema} TO {TENANT}")


_SEQUENCES = text("""
    SELECT sequence.oid::regclass::text FROM pg_class sequence
    JOIN pg_depend part ON part.objid = sequence.oid AND part.classid = 'pg_class'::regclass AND part.deptype = 'a'
    WHERE sequence.relkind = 'S' AND part.refobjid = ANY (CAST(:tables AS regclass[]))
""")
_CLOSED_SCHEMA = text(
    "SELECT quote_ident(current_schema()) WHERE NOT has_schema_privilege(:role, current_schema(), 'USAGE')"
)


def _walled(connection: Connection, table: str) -> bool:
    asked = text("SELECT relrowsecurity FROM pg_class WHERE oid = CAST(:table AS regclass)")
    return connection.execute(asked, {"table": table}).scalar_one() is True


def _exists(connection: Connection) -> bool:
    return connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": TENANT}).scalar() == 1


def _sees_everything(connection: Connection) -> bool:
    asked = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role")
    return connection.execute(asked, {"role": TENANT}).scalar_one() is True


def _may_become(connection: Connection) -> bool:
    how = "SET" if (connection.dialect.server_version_info or (0,)) >= (16,) else "MEMBER"
    asked = text("SELECT pg_has_role(current_user, :role, :how)")
    return connection.execute(asked, {"role": TENANT, "how": how}).scalar_one() is True


def _try(connection: Connection, statement: str) -> DBAPIError | None:
    """Run a statement that this user may not be allowed to run, or that somebody else has just run."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error) or error.connection_invalidated:
            raise
        return error
    return None


def _please(connection: Connection) -> str:
    me = connection.execute(text("SELECT quote_ident(current_user)")).scalar_one()
    return (
        f"Requests of users run as the role {TENANT}, which {me} can neither make nor become. Have a superuser run\n\n"
        f"    CREATE ROLE {TENANT} NOLOGIN NOINHERIT;  -- unless it is there\n    GRANT {TENANT} TO {me};\n\n"
        "and migrate again; or set ROW_LEVEL_SECURITY=false and do without this wall (docs/security.md)."
    )
