"""The wire: statements for PostgreSQL sent straight to the driver, as many in one trip as belong together.

`alone` runs one prepared statement in a transaction of its own, and `begin` begins a transaction; both first tell the
database whom it acts for, when that is not everyone. PostgreSQL takes what is sent before a Sync for one transaction
(its manual, "Pipelining"), so whatever was set for it is gone with it, however it ends, and the pooled connection
carries nothing to whoever has it next.

psycopg has a pipeline mode of its own; it costs several times what the statements do, and this runs all day.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

TENANT = "coinop_tenant"
"""The role that users' requests run as: it may do less than the owner of the tables, and row-level security binds it
(`models/walls.py`)."""

USER = "coinop.user_id"
"""The setting that policies compare with; without it, or empty, they let no row through."""

_ACT = f"SELECT set_config('role', '{TENANT}', true), set_config('{USER}', $1, true)".encode()
_BEGIN = f"SELECT set_config('role', '{TENANT}', true), set_config('{USER}', '%s', true)"

_numbers = count()


class Line:
    """A connection of the driver, with what was prepared on it: names by statement."""

    def __init__(self, driver: psycopg.Connection[Any], prepared: dict[bytes, bytes]) -> None:
        self._driver = driver
        self._prepared = prepared

    @property
    def idle(self) -> bool:
        """Whether it can be used again."""
        return self._driver.pgconn.transaction_status == TransactionStatus.IDLE

    def alone(self, statement: bytes, values: Sequence[Any], *, user: str | None) -> Sequence[Any] | None:
        """Run one statement, with values for $1, $2, …, in a transaction of its own and return its first row or None.

        `user` is whom it acts for, as `begin` has it. When this returns it is committed. Raises `psycopg.Error`.
        """
        form = Transformer(self._driver)
        sent = [(statement, form.dump_sequence(values, [PyFormat.TEXT] * len(values)))]
        if user is not None:
            sent.insert(0, (_ACT, [user.encode()]))
        with self._driver.lock:
            try:
                result = self._driver.wait(self._exchange(sent))
            except (FeatureNotSupported, InvalidSqlStatementName):
                # A migration changed what it returns, or something dropped it: nothing was done, so prepare it anew.
                self._prepared.clear()
                result = self._driver.wait(self._exchange(sent))
        form.set_pgresult(result)
        return form.load_row(0, tuple) if result.ntuples else None

    def _exchange(self, statements: Sequence[tuple[bytes, Sequence[Any]]]) -> PQGen[PGresult]:
        pgconn = self._driver.pgconn
        pgconn.enter_pipeline_mode()
        asked: list[tuple[bytes, bytes] | None] = []
        for statement, values in statements:
            if self._driver.prepare_threshold is None:
                # DATABASE_PREPARE=false: what one connection of the server was told, the next one would not know.
                pgconn.send_query_params(statement, values)
                asked.append(None)
                continue
            name = self._prepared.get(statement)
            if name is None:
                name = f"coinop_{next(_numbers)}".encode()
                pgconn.send_prepare(name, statement)
                asked.append((statement, name))
            pgconn.send_query_prepared(name, values)
            asked.append(None)
        pgconn.pipeline_sync()
        yield from generators.send(pgconn)
        results: list[PGresult] = []
        # The answer to Sync comes last, and only after the commit.
        while (answer := (yield from generators.fetch_many(pgconn)))[0].status != ExecStatus.PIPELINE_SYNC:
            results += answer
        pgconn.exit_pipeline_mode()
        for prepared, result in zip(asked, results, strict=False):
            if prepared and result.status == ExecStatus.COMMAND_OK:
                self._prepared[prepared[0]] = prepared[1]
        return _last(results, self._driver)


def begin(driver: psycopg.Connection[Any], *, user: str, read_only: bool = False) -> None:
    """Begin a transaction that acts for a user, given as the hexadecimal digits of a UUID; "" is nobody.

    The driver sees that a transaction goes on and begins none itself. Raises `psycopg.Error`.
    """
    act = _BEGIN % user
    with driver.lock:
        if driver.pgconn.transaction_status == TransactionStatus.IDLE:
            act = f"BEGIN{' READ ONLY' if read_only else ''}; {act}"
        driver.pgconn.send_query(act.encode())
        _last(driver.wait(generators.execute(driver.pgconn)), driver)


def _last(results: Sequence[PGresult], driver: psycopg.Connection[Any]) -> PGresult:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result, encoding=driver.info.encoding)
    return results[-1]
