"""Saved replies: suggestions out of chat analyses that the caller keeps."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import saved_replies
from models.api_keys import Scope
from models.database import readings, sessions
from models.saved_replies import SavedReply
from web import tokens
from web.pages import HIGHEST_KEY, PageQuery
from web.problems import Problem
from web.requests import Body
from web.times import render_time

api = APIBlueprint(
    "saved_replies",
    __name__,
    url_prefix="/v1/saved-replies",
    abp_tags=[{"name": "jobs"}],
    abp_security=tokens.BY_TOKEN_OR_KEY,
)
api.before_request(tokens.callers(read=Scope.jobs_read, write=Scope.jobs_write))

Number = Annotated[int, Field(ge=0, le=1_000)]


class SaveRequest(Body):
    # An id comes as text, which strict models would not take for one.
    job_id: Annotated[UUID, Field(strict=False)]
    output: Number = Field(0, description="The index of the output.")
    suggestion: Number = Field(description="The index of the suggestion in it.")


class SavedReplyPath(BaseModel):
    reply_id: Annotated[int, Field(ge=0, le=HIGHEST_KEY)]


class SavedReplyView(BaseModel):
    id: int
    object: str
    job_id: str
    output: int
    suggestion: int
    text: str
    created_at: str


class SavedReplyList(BaseModel):
    saved_replies: list[SavedReplyView]
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(reply: SavedReply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "object": "saved_reply",
        "job_id": str(reply.job_id),
        "output": reply.output,
        "suggestion": reply.suggestion,
        "text": reply.text,
        "created_at": render_time(reply.created_at),
    }


@api.post("", responses={200: SavedReplyView, 201: SavedReplyView, 401: Problem, 404: Problem, 422: Problem})
def save(body: SaveRequest) -> tuple[dict[str, Any], int]:
    """Keep a suggestion of one of my chat analyses, word for word. Saving it again gives the first (200)."""
    with sessions() as session:
        reply, new = saved_replies.save(
            session,
            user_id=tokens.current_user_id(),
            job_id=body.job_id,
            output=body.output,
            suggestion=body.suggestion,
        )
    return render(reply), 201 if new else 200


@api.get("", responses={200: SavedReplyList, 401: Problem, 422: Problem})
def history(query: PageQuery) -> dict[str, Any]:
    """My saved replies, newest first."""
    with readings() as session:
        found, following = saved_replies.saved(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after
        )
    return {"saved_replies": [render(reply) for reply in found], "next": following}


@api.delete("/<reply_id>", responses={204: None, 401: Problem, 404: Problem, 422: Problem})
def forget(path: SavedReplyPath) -> tuple[str, int]:
    """Forget a saved reply."""
    with sessions() as session:
        saved_replies.forget(session, user_id=tokens.current_user_id(), reply_id=path.reply_id)
    return "", 204
