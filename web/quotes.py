"""What a request costs its caller: asked before a job, a spend, or just for the price."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from models import plans
from models.catalog import Catalog
from models.database import readings
from models.errors import ActionUnavailable
from models.plans import NOTHING
from models.quotes import Quote, quote
from web import tokens
from web.shelf import shelf
from worker.backends import offers


class PartView(BaseModel):
    label: str
    amount: int


def ask(action: str, raw_input: dict[str, Any]) -> tuple[Catalog, Quote]:
    """The catalog and the quote by it for the caller's request.

    Raises as `quote` does, and `ActionUnavailable` when no provider here does what the action sells.
    """
    catalog = shelf.at_hand()
    if catalog is None:
        with readings() as session:
            catalog = shelf.catalog(session)
    # A product without plans has nothing to look up.
    held = plans.read_entitlements(user_id=tokens.current_user_id()) if catalog.plans else NOTHING
    asked = quote(catalog, held, action=action, raw_input=raw_input)
    if asked.runs and asked.kind not in offers():
        raise ActionUnavailable(f"No provider here does {asked.kind}, so {action} cannot be ordered.")
    return catalog, asked
