"""Bringing pictures along, over HTTP."""

from __future__ import annotations

import io
from typing import Any

from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from models.database import moment, sessions
from models.uploads import GRACE_SECONDS, Upload
from tests.http.conftest import Caller
from tests.uploads.drawings import picture
from worker.storage import storage


def bring(caller: Caller, data: bytes, content_type: str = "image/png", **more: Any) -> TestResponse:
    """Send a picture as the body."""
    return caller.client.post("/v1/uploads", headers=caller.headers, data=data, content_type=content_type, **more)


def bring_in_form(caller: Caller, *files: tuple[str, bytes, str, str | None], **fields: str) -> TestResponse:
    """Send a form with files, each its field, bytes, name and type, and other fields."""
    form: dict[str, Any] = {**fields}
    for field, data, name, content_type in files:
        form.setdefault(field, []).append((io.BytesIO(data), name, content_type))
    return caller.client.post("/v1/uploads", headers=caller.headers, data=form, content_type="multipart/form-data")


def brought(caller: Caller, media_type: str = "image/png", **drawn: Any) -> dict[str, Any]:
    """A new upload, as the front door shows it."""
    answer = bring(caller, picture(media_type, **drawn), media_type)
    assert answer.status_code == 201, answer.json
    upload: dict[str, Any] = answer.json or {}
    return upload


def ask(caller: Caller, *, action: str = "upscale", key: str | None = None, **values: Any) -> TestResponse:
    """Submit a job with this input."""
    headers = {"Idempotency-Key": key} if key else {}
    return caller.post("/v1/jobs", {"action": action, "input": values}, **headers)


def let_expire(upload_id: str, *, seconds: float = 1) -> None:
    """Let an upload have expired so many seconds ago."""
    with sessions() as session:
        then = moment(session, plus=-seconds)
        found = session.execute(update(Upload).values(expires_at=then).where(Upload.key.endswith(upload_id)))
        assert found.rowcount == 1  # type: ignore[attr-defined]


def let_be_over(upload_id: str) -> None:
    """Let an upload have expired so long ago that it may be taken away."""
    let_expire(upload_id, seconds=GRACE_SECONDS + 1)


def rows() -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(Upload)) or 0


def stored() -> set[str]:
    """The keys of all files of uploads."""
    return set(storage().older_than("uploads", seconds=-3600))
