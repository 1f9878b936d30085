"""Entitlements: what the caller's plan includes, and what is taken of its limits."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models import places
from models.api_keys import Scope
from models.catalog import Name, Rate
from models.database import readings, sessions
from models.kinds import Reference
from models.places import Place
from web import tokens
from web.pages import PageSize
from web.problems import Problem
from web.shelf import shelf
from web.times import render_time

api = APIBlueprint(
    "entitlements",
    __name__,
    url_prefix="/v1/entitlements",
    abp_tags=[{"name": "catalog"}],
    abp_security=tokens.BY_TOKEN_OR_KEY,
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))


class LimitPath(BaseModel):
    limit_name: Name = Field(description="The name of a limit, such as `companions`.")


class ItemPath(LimitPath):
    item: Reference = Field(description="The product's own name for what takes a place.")


class ItemQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: Reference | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class UnlimitedUseView(BaseModel):
    action: str | None
    wallet: str | None = Field(description="All actions that are paid from this wallet.")
    fair_use: Rate


class LimitUsageView(BaseModel):
    limit: int | None = Field(description="Null is as many as you like.")
    used: int


class EntitlementsView(BaseModel):
    plan: str | None
    title: str | None
    ends_at: str | None
    features: list[str]
    priority: bool
    unlimited: list[UnlimitedUseView]
    limits: dict[str, LimitUsageView]


class ItemView(BaseModel):
    item: str
    created_at: str


class ItemList(BaseModel):
    items: list[ItemView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(place: Place) -> dict[str, Any]:
    return {"item": place.item, "created_at": render_time(place.created_at)}


@api.get("", responses={200: EntitlementsView, 401: Problem})
def show() -> dict[str, Any]:
    """What my plan includes, and how much of it I use."""
    with readings() as session:
        seen = places.overview(session, shelf.catalog(session), user_id=tokens.current_user_id())
    held = seen.entitled.held
    return {
        "plan": held.plan if held else None,
        "title": held.terms.title if held else None,
        "ends_at": render_time(held.ends_at) if held else None,
        "features": list(held.terms.features) if held else [],
        "priority": seen.entitled.priority,
        "unlimited": [free.model_dump() for free in held.terms.unlimited] if held else [],
        "limits": {name: {"limit": usage.limit, "used": usage.used} for name, usage in seen.limits.items()},
    }


@api.get("/<limit_name>", responses={200: ItemList, 401: Problem, 404: Problem, 422: Problem})
def taken(path: LimitPath, query: ItemQuery) -> dict[str, Any]:
    """What takes the places of a limit, by name."""
    with readings() as session:
        places.check(shelf.catalog(session), path.limit_name)
        found, following = places.taken(
            session,
            user_id=tokens.current_user_id(),
            limit_name=path.limit_name,
            limit=query.limit,
            after=query.after,
        )
    return {"items": [render(place) for place in found], "next": following}


@api.put(
    "/<limit_name>/<item>",
    responses={200: ItemView, 201: ItemView, 401: Problem, 403: Problem, 404: Problem, 422: Problem},
)
def take(path: ItemPath) -> tuple[dict[str, Any], int]:
    """Let something take a place, if my plan has one left. What has its place keeps it (200)."""
    with readings() as session:
        places.check(shelf.catalog(session), path.limit_name)
    with sessions() as session:
        place, new = places.take(session, user_id=tokens.current_user_id(), limit_name=path.limit_name, item=path.item)
    return render(place), 201 if new else 200


@api.delete("/<limit_name>/<item>", responses={204: None, 401: Problem, 404: Problem, 422: Problem})
def free(path: ItemPath) -> tuple[str, int]:
    """Give a place back; again changes nothing."""
    with readings() as session:
        places.check(shelf.catalog(session), path.limit_name)
    with sessions() as session:
        places.free(session, user_id=tokens.current_user_id(), limit_name=path.limit_name, item=path.item)
    return "", 204
