"""Sessions: where the caller is logged in, and logging out there."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models import logins
from models.database import readings, sessions
from models.logins import Login
from models.pages import MOST_PER_PAGE
from web import tokens
from web.problems import Problem
from web.times import render_time

api = APIBlueprint(
    "logins", __name__, url_prefix="/v1/me/sessions", abp_tags=[{"name": "me"}], abp_security=tokens.BY_TOKEN
)
api.before_request(tokens.require_user)


class LoginPath(BaseModel):
    session_id: UUID


class LoginQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: Annotated[int, Field(ge=1, le=MOST_PER_PAGE)] = 20


class EndQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    others_only: bool = Field(False, description="Whether to stay logged in here.")


class LoginView(BaseModel):
    id: str
    object: str
    device: str | None = Field(description="What the device said of itself (`User-Agent`).")
    address: str | None = Field(description="The network address it logged in from.")
    created_at: str
    last_used_at: str = Field(description="When its tokens were last refreshed.")


class MyLoginView(LoginView):
    current: bool = Field(description="Whether this is the session that asks.")


class LoginList(BaseModel):
    sessions: list[MyLoginView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


def render_login(login: Login) -> dict[str, Any]:
    return {
        "id": str(login.id),
        "object": "session",
        "device": login.user_agent,
        "address": login.address,
        "created_at": render_time(login.created_at),
        "last_used_at": render_time(login.last_used_at),
    }


@api.get("", responses={200: LoginList, 401: Problem, 403: Problem, 422: Problem})
def going_on(query: LoginQuery) -> dict[str, Any]:
    """Where I am logged in, newest first."""
    here = tokens.current_login_id()
    with readings() as session:
        found, following = logins.going_on(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after
        )
    return {
        "sessions": [{**render_login(login), "current": login.id == here} for login in found],
        "next": str(following) if following else None,
    }


@api.delete("/<session_id>", responses={204: None, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def end(path: LoginPath) -> tuple[str, int]:
    """Log out of one session. Its access token ends with it, within two seconds."""
    with sessions() as session:
        logins.end(session, user_id=tokens.current_user_id(), login_id=path.session_id)
    tokens.look_again()
    return "", 204


@api.delete("", responses={204: None, 401: Problem, 403: Problem, 422: Problem})
def end_all(query: EndQuery) -> tuple[str, int]:
    """Log out everywhere, or everywhere else."""
    stays = tokens.current_login_id() if query.others_only else None
    with sessions() as session:
        logins.end_all(session, user_id=tokens.current_user_id(), but=stays)
    tokens.look_again()
    return "", 204
