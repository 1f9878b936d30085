"""The audit after every single step, asked in one go: what makes it affordable to prove the books so often.

Every query of the audit returns what does not fit, so that none of them has a row is the proof. They are the audit's
own, worked out once; when one does have a row, the audit itself is asked what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.orm import Session

from models.database import engine, is_postgresql, sessions

Findings = Callable[[Session], Iterable[str]]

_worked_out: dict[tuple[Findings, str], tuple[str, tuple[Any, ...]]] = {}


def prove(findings: Findings) -> None:
    """Fail, naming every finding, unless there is none in the whole database."""
    with sessions() as session:
        if is_postgresql(session):
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        key = (findings, session.get_bind().dialect.name)
        if key in _worked_out:
            statement, parameters = _worked_out[key]
            if not session.connection().exec_driver_sql(statement, parameters).scalar_one():
                return
    if key not in _worked_out:
        _worked_out[key] = _work_out(findings)
    with sessions() as session:
        assert list(findings(session)) == []


def _work_out(findings: Findings) -> tuple[str, tuple[Any, ...]]:
    queries: list[str] = []
    values: list[Any] = []

    def note(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("SELECT"):
            return
        if isinstance(cursor, psycopg.Cursor):
            # With its values in it, PostgreSQL plans the statement once for each connection.
            statement = psycopg.ClientCursor(cursor.connection).mogrify(statement, parameters).replace("%", "%%")
        else:
            values.extend(parameters)
        queries.append(f"EXISTS ({statement})")

    event.listen(engine(), "before_cursor_execute", note)
    try:
        with sessions() as session:
            list(findings(session))
    finally:
        event.remove(engine(), "before_cursor_execute", note)
    assert queries
    return f"SELECT {' OR '.join(queries)}", tuple(values)
