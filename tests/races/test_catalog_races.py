"""Two who edit the catalog at once."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from models import catalog
from models.audit_log import Actor, By
from models.catalog import Catalog, editing
from models.database import sessions
from models.errors import CatalogChanged
from tests.http.offers import sell
from tests.races.starting_line import race, tally


def test_of_two_edits_at_once_one_is_late(arena: str) -> None:
    sell()
    for amount in (7, 8):
        with sessions() as session:
            sold, version = catalog.current(session), editing.newest(session)
        results = race(*(_titled(sold, f"{amount} {who}", version) for who in ("a", "b")))
        assert tally(results) == {"True": 1, CatalogChanged.__name__: 1}


def _titled(sold: Catalog, title: str, expected: int) -> Callable[[Session], str]:
    edit = editing.to(sold.model_copy(update={"title": title}))
    by = By(Actor.command)
    return lambda session: str(editing.store(session, by=by, edit=edit, reason=None, expected=expected).changed)
