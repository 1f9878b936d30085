"""Small catalogs for tests of what is sold."""

from __future__ import annotations

from typing import Any

from models import catalog
from models.catalog import Catalog
from models.database import sessions
from web.shelf import shelf


def sell(**tables: Any) -> Catalog:
    """Make a product with wallets `credits` and `tips`, and these tables of a preset, what is sold from now on."""
    sold = Catalog.model_validate(
        {
            "name": "corner-shop",
            "title": "Corner shop",
            "wallets": {"credits": {"title": "Credits"}, "tips": {"title": "Tips"}},
            "actions": {
                "chat": {
                    "title": "Chat analysis", "kind": "chat", "wallet": "credits",
                    "price": {"form": "fixed", "amount": 5},
                }
            },
            **tables,
        }
    )  # fmt: skip
    with sessions() as session:
        catalog.load(session, sold)
    shelf.look_again()
    return sold
