"""Everything that two users own, in every table, and whose each row is: worked out here, and not as the policies do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from flask.testing import FlaskClient
from sqlalchemy import Connection, insert, select, text

from models import administration, audit_log, walls
from models.audit_log import Actor, By
from models.database import Base, engine, sessions
from models.ledger import Wallet
from models.low_balances import LowBalance
from tests.accounts.lives import live, shop
from tests.accounts.people import id_of, verified
from tests.http.conftest import Caller

OF = {
    "user_id": "user_id = :me",
    "wallet_id": "wallet_id IN (SELECT id FROM wallets WHERE user_id = :me)",
    "login_id": "login_id IN (SELECT id FROM logins WHERE user_id = :me)",
    "referred_id": ":me IN (referred_id, referrer_id)",
    "payment_id": "payment_id IN (SELECT id FROM payments WHERE user_id = :me)",
    "target": "target = 'user:' || CAST(:me AS text)",
    "id": "id = :me",
}
"""How a row is known to be somebody's, by the first of these columns that its table has."""


@dataclass(frozen=True)
class Estate:
    """A user, signed in, with a row in every table that belongs to users."""

    caller: Caller
    user_id: UUID


def own_everything(client: FlaskClient) -> tuple[Estate, Estate]:
    """Two users who have left something everywhere."""
    shop()
    callers = verified(client), verified(client, "bob@example.com")
    for number, caller in enumerate(callers):
        live(caller, client, word=f"word{number}")
        user_id = id_of(caller)
        verified(client, f"brought{number}@example.com", referral_code=caller.get("/v1/referrals").json["code"])  # type: ignore[index]
        with sessions() as session:
            wallet_id = session.scalars(select(Wallet.id).where(Wallet.user_id == user_id).limit(1)).one()
            session.execute(insert(LowBalance).values(wallet_id=wallet_id))
            by, target = By(Actor.command), administration.target(user_id)
            audit_log.record(session, by=by, verb="user.role", target=target)
    ann, bob = (Estate(caller, id_of(caller)) for caller in callers)
    return ann, bob


def of_users() -> list[str]:
    """The tables that belong to users."""
    return sorted(Base.metadata.tables.keys() - walls.SHARED.keys())


def is_of(table: str) -> str:
    """The condition on a row that it is the user's whose id is `:me`."""
    columns = Base.metadata.tables[table].columns.keys()
    return next(condition for column, condition in OF.items() if column in columns)


def counted(connection: Connection, table: str, me: UUID | None = None) -> int:
    condition = is_of(table) if me else "true"
    return int(connection.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}"), {"me": me}).scalar_one())


def act(connection: Connection, me: UUID | None) -> None:
    """Be this user until the transaction ends; None is nobody."""
    connection.execute(
        text("SELECT set_config('role', 'coinop_tenant', true), set_config('coinop.user_id', :me, true)"),
        {"me": str(me or "")},
    )


@contextmanager
def undone() -> Iterator[Connection]:
    """A transaction of the owner, with the tables' triggers off, so that a row can go whatever refers to it; it is
    rolled back."""
    with engine().connect() as connection, connection.begin() as transaction:
        for table in Base.metadata.tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        yield connection
        transaction.rollback()


def may(connection: Connection, table: str, privilege: str) -> bool:
    """Whether a request may do this to some rows of a table at all."""
    asked = text("SELECT has_table_privilege('coinop_tenant', :table, :privilege)")
    return connection.execute(asked, {"table": table, "privilege": privilege}).scalar_one() is True
