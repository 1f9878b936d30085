"""API keys: what a server of the caller's calls with."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import api_keys
from models.api_keys import MOST_KEYS, ApiKey, Scope
from models.database import readings, sessions
from web import tokens
from web.problems import Problem
from web.requests import Body
from web.texts import Line
from web.times import render_time

api = APIBlueprint(
    "api_keys", __name__, url_prefix="/v1/api-keys", abp_tags=[{"name": "me"}], abp_security=tokens.BY_TOKEN
)
api.before_request(tokens.require_user)

LONGEST_DAYS = 3650


class KeyRequest(Body):
    name: Annotated[Line, Field(max_length=100, examples=["My server"])]
    # Scopes come as text, which strict models would not take for them.
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))] = Field(
        description="What the key is for. No key opens what is about the account itself, but for `account:read`."
    )
    expires_in_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = Field(
        None, description="Null is good until it is revoked."
    )


class KeyPath(BaseModel):
    key_id: UUID


class KeyView(BaseModel):
    id: str
    object: str
    name: str
    hint: str = Field(description="How the key begins.")
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    last_used_at: str | None = Field(description="To within a minute.")


class NewKeyView(KeyView):
    key: str = Field(description="The key itself. It is shown this once.")


class KeyList(BaseModel):
    api_keys: list[KeyView]


def render(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "object": "api_key",
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "created_at": render_time(key.created_at),
        "expires_at": render_time(key.expires_at),
        "last_used_at": render_time(key.last_used_at),
    }


@api.post("", responses={201: NewKeyView, 401: Problem, 403: Problem, 409: Problem, 422: Problem})
def create(body: KeyRequest) -> tuple[dict[str, Any], int]:
    """Make an API key. Store it at once: it is never shown again."""
    with sessions() as session:
        made, text = api_keys.create(
            session,
            user_id=tokens.current_user_id(),
            name=body.name,
            scopes=body.scopes,
            expires_in_days=body.expires_in_days,
        )
    return {**render(made), "key": text}, 201


@api.get("", responses={200: KeyList, 401: Problem, 403: Problem}, description=f"There are at most {MOST_KEYS}.")
def list_keys() -> dict[str, Any]:
    """My API keys, newest first."""
    with readings() as session:
        found = api_keys.of_user(session, user_id=tokens.current_user_id())
    return {"api_keys": [render(key) for key in found]}


@api.delete("/<key_id>", responses={204: None, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def revoke(path: KeyPath) -> tuple[str, int]:
    """Revoke an API key for good. It is refused everywhere within two seconds."""
    with sessions() as session:
        api_keys.revoke(session, user_id=tokens.current_user_id(), key_id=path.key_id)
    tokens.look_again()
    return "", 204
