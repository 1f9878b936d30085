"""Selling something else than the default preset: two small products."""

from __future__ import annotations

from typing import Any

from models import catalog
from models.catalog import Catalog
from models.database import sessions
from web.shelf import shelf

CORNER_SHOP: dict[str, Any] = {
    "name": "corner-shop",
    "title": "Corner shop",
    "wallets": {"credits": {"title": "Credits"}, "tips": {"title": "Tips"}},
    "actions": {"chat": {"title": "Chat analysis", "kind": "chat", "wallet": "credits", "price": {"amount": 5}}},
}

EACH = {"form": "per_unit", "quantity": "quantity", "amount": 1}
BY_LEVEL = {"form": "level", "least": 10, "most": 50, "step": 10}

COMPANIONS: dict[str, Any] = {
    "name": "companions",
    "title": "Companions",
    "wallets": {"tokens": {"title": "Tokens"}, "minutes": {"title": "Minutes"}},
    "signup_grants": [{"wallet": "tokens", "amount": 100}, {"wallet": "minutes", "amount": 10}],
    "limits": {"spends": {"uses": 5, "per": "minute"}},
    "actions": {
        "tip": {"title": "Tip", "kind": "spend", "wallet": "tokens", "price": EACH},
        "minute": {"title": "Minute", "kind": "spend", "wallet": "minutes", "price": EACH},
        "skip": {"title": "Skip", "kind": "spend", "wallet": "tokens", "price": BY_LEVEL},
        "chat": {"title": "Chat", "kind": "chat", "wallet": "tokens", "price": {"amount": 2}},
        "video": {"title": "Video", "kind": "video", "wallet": "tokens", "price": {"amount": 15}, "requires": "video"},
        "gift": {"title": "Gift", "kind": "spend", "wallet": "tokens", "price": {"amount": 3}, "requires": "video"},
    },
    "packs": {
        "small": {"title": "Small", "price": {"amount": 499, "currency": "EUR"}, "credits": {"tokens": 100}},
        "both": {
            "title": "Both", "price": {"amount": 999, "currency": "EUR"}, "credits": {"tokens": 250, "minutes": 30},
            "bonus": {"tokens": 25}, "quick": True, "expires_days": 90,
        },
    },
    "plans": {
        "premium": {
            "title": "Premium", "rank": 1, "prices": {"monthly": {"amount": 999, "currency": "EUR"}},
            "allowances": [{"wallet": "minutes", "amount": 60, "period": "cycle"}], "limits": {"friends": 3},
            "unlimited": [{"action": "chat", "fair_use": {"uses": 2, "per": "hour"}}], "priority": True,
        },
        "elite": {
            "title": "Elite", "rank": 2, "features": ["video"],
            "unlimited": [{"wallet": "tokens", "fair_use": {"uses": 3, "per": "hour"}}],
        },
    },
}  # fmt: skip


def sell(product: dict[str, Any] = CORNER_SHOP, /, **changes: Any) -> Catalog:
    """Make a product, with some of its tables changed, what the front door of this process sells from now on."""
    made = Catalog.model_validate({**product, **changes})
    with sessions() as session:
        catalog.load(session, made)
    shelf.look_again()
    return made
