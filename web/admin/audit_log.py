"""The audit log: who decided what in the name of the house."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import audit_log
from models.audit_log import Actor, AuditEntry, Wanted
from models.database import readings
from web import tokens
from web.admin import doors
from web.pages import PageQuery
from web.problems import Problem
from web.texts import Line
from web.times import render_time

api = APIBlueprint(
    "admin_audit_log",
    __name__,
    url_prefix="/v1/admin/audit-log",
    abp_tags=[{"name": "admin"}],
    abp_security=tokens.BY_ADMIN,
)
api.before_request(doors.admit)


class EntryQuery(PageQuery):
    target: Annotated[Line, Field(max_length=200)] | None = Field(None, description="Such as `user:<id>`.")
    actor: Actor | None = None
    actor_id: UUID | None = Field(None, description="The account of the admin who acted.")


class EntryView(BaseModel):
    id: int
    object: str
    actor: Actor
    actor_id: str | None
    verb: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: str | None
    created_at: str


class EntryList(BaseModel):
    entries: list[EntryView]
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "object": "audit_entry",
        "actor": entry.actor,
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "verb": entry.verb,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "created_at": render_time(entry.created_at),
    }


@api.get("", responses={200: EntryList, 401: Problem, 403: Problem, 422: Problem})
def history(query: EntryQuery) -> dict[str, Any]:
    """What was decided, newest first."""
    wanted = Wanted(target=query.target, actor=query.actor, actor_id=query.actor_id)
    with readings() as session:
        found, following = audit_log.page(session, wanted=wanted, limit=query.limit, after=query.after)
    return {"entries": [render(entry) for entry in found], "next": following}
