"""E-mails that were staged: what has become of them, and sending one again. What they say is not shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models.database import readings, sessions
from models.emails import Email, EmailState, Template, desk
from models.emails.desk import Wanted
from web import tokens
from web.admin import doors
from web.admin.events import ReplayRequest
from web.pages import PageSize
from web.problems import Problem
from web.times import render_time

api = APIBlueprint(
    "admin_emails", __name__, url_prefix="/v1/admin/emails", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)


class EmailPath(BaseModel):
    email_id: UUID


class EmailQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    state: EmailState | None = None
    template: Template | None = None
    user_id: UUID | None = None
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class AgainQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    again: bool = Field(False, description="Also if it was sent before.")


class EmailView(BaseModel):
    id: str
    object: str
    template: str
    user_id: str | None = Field(description="Null of one that went to an address, whoever has that.")
    state: EmailState
    attempts: int
    trouble: str | None = Field(description="A code and a word or two on why it has not arrived.")
    due_at: str = Field(description="When it may be tried next, while it is `queued`.")
    created_at: str
    ended_at: str | None


class EmailList(BaseModel):
    emails: list[EmailView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(email: Email) -> dict[str, Any]:
    return {
        "id": str(email.id),
        "object": "email",
        "template": email.template,
        "user_id": str(email.user_id) if email.user_id else None,
        "state": email.state,
        "attempts": email.attempts,
        "trouble": email.trouble,
        "due_at": render_time(email.due_at),
        "created_at": render_time(email.created_at),
        "ended_at": render_time(email.ended_at),
    }


@api.get("", responses={200: EmailList, 401: Problem, 403: Problem, 422: Problem})
def search(query: EmailQuery) -> dict[str, Any]:
    """E-mails, newest first."""
    wanted = Wanted(state=query.state, template=query.template, user_id=query.user_id)
    with readings() as session:
        found, following = desk.page(session, wanted=wanted, limit=query.limit, after=query.after)
    return {"emails": [render(email) for email in found], "next": str(following) if following else None}


@api.post(
    "/<email_id>/replay",
    responses={202: EmailView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def replay(path: EmailPath, query: AgainQuery, body: ReplayRequest) -> Response:
    """Have an e-mail tried now, though it was given up; with `again=true` also one that was sent."""
    with sessions() as session:
        email = desk.replay(session, by=doors.acting(), email_id=path.email_id, reason=body.reason, again=query.again)
        response = jsonify(render(email))
    response.status_code = 202
    return response
