"""Uploads: pictures that users bring along, to name them in jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import IO, Annotated, Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from config import settings
from models import pictures, uploads
from models.api_keys import Scope
from models.database import new_id, readings, sessions
from models.errors import Fault, InvalidInput, NotFound, TooManyUploads
from models.pages import MOST_PER_PAGE
from models.pictures import Picture
from models.uploads import Upload
from web import files, rates, tokens
from web.document import file
from web.problems import Problem
from web.requests import takes_a_file
from web.times import render_time
from worker.decoding import examine
from worker.storage import storage

api = APIBlueprint(
    "uploads", __name__, url_prefix="/v1/uploads", abp_tags=[{"name": "uploads"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.jobs_read, write=Scope.jobs_write))
# Each may cost some seconds of computing.
api.before_request(rates.counted("uploads.upload", limit=lambda: settings().upload_rate_limit))

FIELD = "file"
"""The field of a form that holds the picture."""

MOST_PARTS = 10
"""Parts of a form: one is right, and a few wrong ones can be named."""

RETRY_AFTER_SECONDS = 2
"""About as long as an upload takes."""

BINARY = {"schema": {"type": "string", "format": "binary"}}
REQUEST: dict[str, Any] = {
    "required": True,
    "description": f"The picture itself, or a form with one file in its field `{FIELD}`.",
    "content": {
        **dict.fromkeys(pictures.FORMATS, BINARY),
        "multipart/form-data": {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: BINARY["schema"]}}
        },
    },
}


class UploadPath(BaseModel):
    upload_id: UUID


class UploadQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: Annotated[int, Field(ge=1, le=MOST_PER_PAGE)] = 20


class UploadView(BaseModel):
    id: str
    object: str
    media_type: str
    size: int = Field(description="Bytes.")
    width: int = Field(description="Pixels, as they are stored: before any turning that the picture asks for.")
    height: int
    sha256: str
    created_at: str
    expires_at: str
    url: str


class UploadList(BaseModel):
    uploads: list[UploadView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class Places:
    """How many uploads may be under way at once in this process, and how many of them one user's.

    Each takes a thread for as long as its sender likes, and there must be threads left for polling.
    """

    def __init__(self, places: int) -> None:
        self._all = max(places, 1)
        self._of_one = max(places - 1, 1)
        self._taken: Counter[UUID] = Counter()
        self._lock = Lock()

    @contextmanager
    def taken(self, user_id: UUID) -> Iterator[None]:
        """Take a place while the block runs. Raises `TooManyUploads`."""
        with self._lock:
            if self._taken.total() >= self._all or self._taken[user_id] >= self._of_one:
                raise TooManyUploads("Wait until another upload has arrived.", retry_after=RETRY_AFTER_SECONDS)
            self._taken[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[user_id] -= 1
                self._taken += Counter()  # forgets who has none


@cache
def places() -> Places:
    return Places(settings().web_threads // 2)


def render(upload: Upload) -> dict[str, Any]:
    return {
        "id": str(upload.id),
        "object": "upload",
        "media_type": upload.media_type,
        "size": upload.size,
        "width": upload.width,
        "height": upload.height,
        "sha256": upload.sha256,
        "created_at": render_time(upload.created_at),
        "expires_at": render_time(upload.expires_at),
        "url": f"/v1/uploads/{upload.id}/content",
    }


@api.post(
    "",
    request_body=REQUEST,
    responses={
        200: UploadView, 201: UploadView, 401: Problem, 409: Problem, 413: Problem, 415: Problem, 422: Problem,
        429: Problem,
    },
)  # fmt: skip
@takes_a_file
def upload() -> tuple[dict[str, Any], int]:
    """Bring a picture along: PNG, JPEG, WebP or GIF, as the body or in a form.

    Name its `id` as `upload` in the input of jobs. It is kept without what is not the picture, such as where it was
    taken. Bringing the same again is no second upload: it answers 200 and the first one, which expires later then.
    """
    user_id = tokens.current_user_id()
    with places().taken(user_id):
        kept, new = _keep(user_id, _picture())
    return render(kept), 201 if new else 200


def _picture() -> Picture:
    """The picture in the body. Never more of it is read than a picture may have."""
    if request.mimetype == "multipart/form-data":
        return _picture_of_form()
    if request.mimetype not in pictures.FORMATS and request.mimetype not in pictures.ALSO_CALLED:
        raise UnsupportedMediaType(f"Expected one of {', '.join(pictures.FORMATS)}, or multipart/form-data.")
    return examine(_read(request.stream), declared=request.mimetype)


def _read(stream: IO[bytes]) -> bytes:
    """All there is, a picture's size at most. Raises `RequestEntityTooLarge`: what comes in chunks does not say how
    long it is, and would silently be cut off at the limit of the request."""
    most, data = settings().max_upload_bytes, bytearray()
    while chunk := stream.read(most + 1 - len(data)):
        data += chunk
        if len(data) > most:
            raise RequestEntityTooLarge
    return bytes(data)


def _picture_of_form() -> Picture:
    request.max_form_parts = MOST_PARTS
    faults = [Fault(name, "not expected in this form") for name in sorted({*request.form, *request.files} - {FIELD})]
    files = request.files.getlist(FIELD)
    if len(files) != 1 or FIELD in request.form:
        faults.append(Fault(FIELD, "expected one file"))
    if faults:
        raise InvalidInput(*faults)
    # Browsers say what they made of the name's ending; other programs often nothing.
    declared = files[0].mimetype if files[0].mimetype.startswith("image/") else None
    return examine(_read(files[0].stream), declared=declared)


def _keep(user_id: UUID, picture: Picture) -> tuple[Upload, bool]:
    """Store the file, then note it: what is cut short between leaves a file that is found, never a row without one."""
    terms: Any = {"user_id": user_id, "days": settings().upload_days, "space": settings().upload_space_bytes}
    with sessions() as session:
        same = uploads.prepare(session, picture, **terms)
    if same is not None:
        return same, False
    upload_id = new_id()
    storage().put(uploads.key_of(user_id, upload_id), picture.data, media_type=picture.media_type)
    with sessions() as session:
        return uploads.add(session, picture, upload_id=upload_id, **terms)


@api.get("", responses={200: UploadList, 401: Problem, 422: Problem})
def history(query: UploadQuery) -> dict[str, Any]:
    """My uploads, newest first."""
    with readings() as session:
        found, following = uploads.page(session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after)
    return {"uploads": [render(each) for each in found], "next": str(following) if following else None}


@api.get("/<upload_id>", responses={200: UploadView, 401: Problem, 404: Problem, 422: Problem})
def show(path: UploadPath) -> dict[str, Any]:
    """One upload: what it is and until when."""
    return render(_mine(path))


@api.get("/<upload_id>/content", responses={200: file(*pictures.FORMATS), 401: Problem, 404: Problem, 422: Problem})
def content(path: UploadPath) -> Response:
    """The picture as it is kept. Parts of it can be asked for with `Range`."""
    mine = _mine(path)
    try:
        return files.send(
            mine.key, media_type=mine.media_type, name=f"{mine.id}.{pictures.ENDINGS[mine.media_type]}", tag=mine.sha256
        )
    except FileNotFoundError:
        raise NotFound("There is no such upload.") from None


@api.delete("/<upload_id>", responses={204: None, 401: Problem, 404: Problem, 422: Problem})
def discard(path: UploadPath) -> tuple[str, int]:
    """Delete an upload. Jobs that were accepted with it still find it; its file goes once they have ended."""
    with sessions() as session:
        uploads.discard(session, user_id=tokens.current_user_id(), upload_id=path.upload_id)
    return "", 204


def _mine(path: UploadPath) -> Upload:
    with readings() as session:
        return uploads.get(session, user_id=tokens.current_user_id(), upload_id=path.upload_id)
