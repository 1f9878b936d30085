"""Columns: the parent of every table, the types they are made of, and the clock, the same on PostgreSQL and SQLite.

Everybody takes them from `models/database.py`, beside the sessions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuids
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, Integer, MetaData, String, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class Base(DeclarativeBase):
    """The parent of every table; names of constraints follow one convention, so migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class AwareDateTime(TypeDecorator[datetime]):
    """A moment in UTC. PostgreSQL keeps it as timestamptz; SQLite as text that sorts as time does."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else String(26))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place here: give it a time zone")
        if dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value if value.tzinfo is UTC else value.astimezone(UTC)  # type: ignore[no-any-return]


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON document: jsonb on PostgreSQL, text on SQLite."""

OrderedJson = JSON(none_as_null=True)
"""A JSON document that keeps the order of its members, which jsonb does not; nothing inside can be searched for."""

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A growing key; SQLite only counts up on a column it calls INTEGER."""


def words(enum: type[StrEnum], name: str) -> Enum:
    """A column of one word out of `enum`, kept as text with a CHECK called `name` behind it."""
    return Enum(
        enum, native_enum=False, create_constraint=True, length=32, name=name, values_callable=lambda e: list(e)
    )


class now(FunctionElement[datetime]):  # noqa: N801  # reads as the SQL function it is
    """The database's clock, `plus` seconds: `now()`, `now(30)`, `now(-5.5)`."""

    type = AwareDateTime()
    inherit_cache = True
    name = "now"

    def __init__(self, plus: Any = 0) -> None:
        super().__init__(literal_column(repr(float(plus))) if isinstance(plus, int | float) else plus)


@compiles(now, "postgresql")
def _now_on_postgresql(element: now, compiler: Any, **kw: Any) -> str:
    plus = compiler.process(element.clauses, **kw)
    return "now()" if plus == "0.0" else f"(now() + make_interval(secs => {plus}))"


@compiles(now, "sqlite")
def _now_on_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({compiler.process(element.clauses, **kw)}) || ' seconds')"


def new_id() -> Any:
    """A fresh UUIDv7: it sorts by time of birth, so new rows land together at the end of their index."""
    return uuids.uuid7()


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

OUT_OF_ORDER = timedelta(days=1)
"""How far times may go back while keys go on. A transaction takes its time when it begins and its keys when it writes,
milliseconds later; the rest is for clocks that were set back, and for those of processes that disagree."""


def least_id(at: datetime) -> UUID:
    """Below every UUIDv7 that is made at this moment or later (RFC 9562, section 5.7)."""
    return UUID(int=max((at - EPOCH) // MILLISECOND, 0) << 80)
