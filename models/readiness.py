"""Readiness: whether the database is one that this code can work with. Reading only, but for a row it takes back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import ROOT
from models.database import new_id, now, sessions
from models.errors import Refusal
from models.outbox import Outbox


class NotReady(Refusal):
    """Nothing can be accepted now, though the database answers."""

    status = 503
    code = "not_ready"
    title = "Not ready"


@dataclass(frozen=True, slots=True)
class Form:
    """Which migration the database has seen last, and which is the last that this code has.

    A database that is `ahead` was migrated by newer code, beside which older code goes on working until it is
    replaced. One that is `behind` lacks what this code asks for.
    """

    at: str | None
    head: str
    ahead: bool

    @property
    def behind(self) -> bool:
        return self.at != self.head and not self.ahead


def form(session: Session) -> Form:
    """The form of the database. Locks nothing."""
    known, head = _migrations()
    if not inspect(session.connection()).has_table("alembic_version"):
        return Form(None, head, ahead=False)
    at = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return Form(at, head, ahead=at is not None and at not in known)


@cache
def _migrations() -> tuple[frozenset[str], str]:
    """Every migration of this code, and the last of them."""
    scripts = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
    return frozenset(each.revision for each in scripts.walk_revisions()), scripts.get_current_head() or ""


def check_form(session: Session) -> None:
    """Raises `NotReady` when the database lacks what this code asks for."""
    found = form(session)
    if found.behind:
        raise NotReady(f"The database is at migration {found.at or 'none'}; this version needs {found.head}.")


def check_outbox() -> None:
    """Write a message and take it back. Raises `NotReady` when the database takes none: its disk is full, or it is one
    that only reads."""
    row = {"id": new_id(), "task": "none", "task_id": "none", "queue": "none", "args": []}
    try:
        with sessions() as session, session.begin_nested() as saved:
            session.execute(insert(Outbox).values(due_at=now(), **row))
            saved.rollback()
    except DBAPIError as error:
        raise NotReady("The database takes nothing that is written.") from error
