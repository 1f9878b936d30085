"""Letting many transactions begin at the same moment, each on a connection and in a thread of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from sqlalchemy.orm import Session

from models.audit import audit
from models.database import sessions
from tests.audits import prove

ROUNDS = 5
PATIENCE_SECONDS = 60

Verb = Callable[[Session], Any]


def race(*runners: Verb) -> list[Any]:
    """What each verb returned or raised; all begin together, each in its own transaction. Then the audit is clean."""
    line = Barrier(len(runners))

    def run(verb: Verb) -> Any:
        try:
            with sessions() as session:
                session.connection()
                line.wait(PATIENCE_SECONDS)
                return verb(session)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(runners)) as threads:
        results = list(threads.map(run, runners))
    prove(audit)
    return results


def tally(results: Sequence[Any]) -> Counter[str]:
    """How often each outcome occurred, errors by the names of their classes."""
    return Counter(type(each).__name__ if isinstance(each, Exception) else str(each) for each in results)
