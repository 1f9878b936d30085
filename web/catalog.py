"""What is sold."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel

from models.catalog import Shelf
from models.database import readings

api = APIBlueprint("catalog", __name__, url_prefix="/v1", abp_tags=[{"name": "catalog"}])

shelf = Shelf()
"""The catalog as this process knows it."""


class ActionView(BaseModel):
    name: str
    title: str
    description: str
    kind: str
    wallet: str
    price: dict[str, Any]


class ActionList(BaseModel):
    actions: list[ActionView]


@api.get("/actions", responses={200: ActionList})
def actions() -> dict[str, Any]:
    """Every action with its price. Anybody may look."""
    with readings() as session:
        catalog = shelf.catalog(session)
    return {
        "actions": [
            {
                "name": name,
                "title": action.title,
                "description": action.description,
                "kind": action.kind,
                "wallet": action.wallet,
                "price": action.price.model_dump(mode="json"),
            }
            for name, action in catalog.actions.items()
        ]
    }
