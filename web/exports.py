"""Export: all that is known about the caller, as one file of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from flask import Response, current_app
from flask_openapi import APIBlueprint

from models import export, users
from models.database import moment, readings
from models.export import Row
from web import tokens
from web.problems import Problem
from web.times import render_time

api = APIBlueprint("exports", __name__, url_prefix="/v1/me", abp_tags=[{"name": "me"}], abp_security=tokens.BY_TOKEN)
api.before_request(tokens.require_user)


DOCUMENT = {"content": {"application/json": {"schema": {"type": "object"}}}}


@api.get("/export", responses={200: DOCUMENT, 401: Problem, 403: Problem, 404: Problem})
def show() -> Response:
    """All that is known about me, as one JSON document: a list for each kind of thing, oldest first.

    Files are not in it but linked: what jobs made and what I brought along can be fetched one by one.
    """
    user_id = tokens.current_user_id()
    with readings() as session:
        # When the database is away, or the account gone, that is still a problem document and not half a file.
        users.get(session, user_id)
        made_at = render_time(moment(session))
    write: Callable[[Any], str] = current_app.json.dumps
    response = Response(_document(user_id, made_at, write), mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="export.json"'
    return response


def _document(user_id: UUID, made_at: str | None, write: Callable[[Any], str]) -> Iterator[str]:
    """The text of the document, some hundred rows at a time; nothing is held open while a piece is on its way."""
    yield f'{{"object": "export", "user_id": {write(str(user_id))}, "created_at": {write(made_at)}'
    for section in export.SECTIONS:
        render = RENDERED.get(section.name, _as_it_is)
        yield f",\n{write(section.name)}: ["
        before = ""
        for rows in export.pages(readings, user_id, section):
            yield before + ",\n".join(write(_plain(render(row))) for row in rows)
            before = ",\n"
        yield "]"
    yield "}\n"


def _as_it_is(row: Row) -> Row:
    return row


def _job(row: Row) -> Row:
    """A job says where its files can be fetched, and not where they are kept."""
    outputs = [
        {**{name: value for name, value in output.items() if name != "key"}, "index": index}
        | ({"url": f"/v1/jobs/{row['id']}/outputs/{index}"} if output.get("key") else {})
        for index, output in enumerate(row["outputs"] or ())
    ]
    return {**row, "outputs": outputs}


def _upload(row: Row) -> Row:
    return {**row, "url": f"/v1/uploads/{row['id']}"}


def _moved(row: Row) -> Row:
    """What brought credits is named, but not who: that is another user."""
    return {**row, "ref": "referral" if row["ref"].startswith("referral:") else row["ref"]}


RENDERED: dict[str, Callable[[Row], Row]] = {"jobs": _job, "uploads": _upload, "lots": _moved, "transfers": _moved}


def _plain(row: Row) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return render_time(value)
    return str(value) if isinstance(value, UUID | StrEnum) else value
