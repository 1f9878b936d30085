"""Acting: whose rows the code that runs now may touch: everyone's, nobody's, or those of one user.

On PostgreSQL every transaction is told (`models/database.py`), and the database itself keeps to it, by row-level
security (docs/adr/0008). So a query that forgets whose rows it is about finds those of the caller and no others.

A request acts for nobody until its caller is known, and then for that user (`web/acting.py`). Workers, commands and
the relay act for everyone, and so does whatever is not in a request. What a request must do to rows of others, such as
rewarding whoever brought its user, says so: `with everyone(): …` around the transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from enum import Enum
from uuid import UUID


class Whom(Enum):
    """Those whom one can act for that are no single user."""

    everyone = "everyone"
    nobody = "nobody"


_whom: ContextVar[UUID | Whom] = ContextVar("whom", default=Whom.everyone)


def whom() -> UUID | Whom:
    """Whom this thread acts for now. What is begun in another thread acts for everyone there."""
    return _whom.get()


def act_for(whom: UUID | Whom) -> None:
    """From here on act for somebody else: for edges that end somewhere else than they begin."""
    _whom.set(whom)


@contextmanager
def acting_for(whom: UUID | Whom) -> Iterator[None]:
    """Act for somebody in this block. A transaction stays with whom it began for."""
    before = _whom.get()
    _whom.set(whom)
    try:
        yield
    finally:
        _whom.set(before)


def everyone() -> AbstractContextManager[None]:
    """Act for everyone in this block: no row is out of reach, so what it touches is for its own queries to say."""
    return acting_for(Whom.everyone)
