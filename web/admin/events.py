"""What the gateway has told: read, and had handled once more."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models.database import readings, sessions
from models.payments import desk
from models.payments.desk import Wanted
from models.payments.inbox import EventState, GatewayEvent
from models.payments.tables import GATEWAY_ID
from web import tokens
from web.admin import doors
from web.pages import PageSize
from web.problems import Problem
from web.requests import Body
from web.texts import Line
from web.times import render_time

api = APIBlueprint(
    "admin_events", __name__, url_prefix="/v1/admin/events", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)

GatewayId = Annotated[Line, Field(max_length=GATEWAY_ID)]


class EventPath(BaseModel):
    event_id: str


class EventQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    state: EventState | None = None
    type: Annotated[Line, Field(max_length=100)] | None = None
    object_id: GatewayId | None = Field(None, description="The gateway's id of what it is about.")
    after: GatewayId | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class ReplayRequest(Body):
    reason: Annotated[Line, Field(max_length=500)] = Field(
        description="For the audit log, which forgets nothing: nothing that tells who somebody is."
    )


class EventView(BaseModel):
    id: str
    object: str
    type: str
    object_id: str
    state: EventState
    attempts: int
    trouble: str | None = Field(description="A code for why it is not done.")
    due_at: str = Field(description="When it may be tried next, while it is `received`.")
    received_at: str
    ended_at: str | None


class EventList(BaseModel):
    events: list[EventView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(event: GatewayEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "event",
        "type": event.type,
        "object_id": event.object_id,
        "state": event.state,
        "attempts": event.attempts,
        "trouble": event.trouble,
        "due_at": render_time(event.due_at),
        "received_at": render_time(event.received_at),
        "ended_at": render_time(event.ended_at),
    }


@api.get("", responses={200: EventList, 401: Problem, 403: Problem, 422: Problem})
def search(query: EventQuery) -> dict[str, Any]:
    """What the gateway has told, the last received first."""
    wanted = Wanted(state=query.state, type=query.type, object_id=query.object_id)
    with readings() as session:
        found, following = desk.page(session, wanted=wanted, limit=query.limit, after=query.after)
    return {"events": [render(event) for event in found], "next": following}


@api.post("/<event_id>/replay", responses={202: EventView, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def replay(path: EventPath, body: ReplayRequest) -> Response:
    """Have an event handled once more. What has been done about it before is not done again."""
    with sessions() as session:
        event = desk.replay(session, by=doors.acting(), event_id=path.event_id, reason=body.reason)
        response = jsonify(render(event))
    response.status_code = 202
    return response
