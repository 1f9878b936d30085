"""Outputs that are files: shown in their job, fetched with a token or by a link, deleted."""

from __future__ import annotations

from mimetypes import guess_extension
from typing import Annotated, Any
from uuid import UUID

from flask import Blueprint, Response, redirect, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from config import settings
from models import acting, jobs
from models.api_keys import Scope
from models.database import readings, sessions
from models.errors import NotFound
from models.jobs import Snapshot, outputs
from web import files, links, tokens
from web.document import file
from web.links import Link
from web.problems import Problem
from web.times import render_seconds
from worker.storage import storage

api = APIBlueprint(
    "outputs", __name__, url_prefix="/v1/jobs", abp_tags=[{"name": "jobs"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.jobs_read, write=Scope.jobs_write))

by_link = Blueprint("outputs_by_link", __name__)
"""What needs no token: whoever has a link may fetch what it is to. In no document, as nobody makes such an address."""

ON_THE_WAY_SECONDS = 30

FOR_OTHER_PAGES = "cross-origin"
"""A page of any origin may show what it has a link to; the browser would refuse without."""


class OutputView(BaseModel):
    index: int
    type: str = Field(description="`text`, `analysis` or `file`.")
    text: str | None = None
    tone: str | None = Field(None, description="Of an analysis: how the message sounds.")
    intent: str | None = Field(None, description="Of an analysis: what the message does or asks for.")
    advice: str | None = Field(None, description="Of an analysis: how to answer.")
    suggestions: list[str] | None = Field(None, description="Of an analysis: replies to choose from, and to save.")
    media_type: str | None = None
    size: int | None = Field(None, description="Bytes.")
    sha256: str | None = None
    url: str | None = Field(None, description="Of a file: where to fetch it with a token; null once it is deleted.")
    download_url: str | None = Field(
        None,
        description="Of a file: where whoever has this address may fetch it, with no token; null once it is deleted.",
    )
    download_expires_at: str | None = Field(None, description="Until when `download_url` is good.")
    deleted: bool | None = Field(None, description="Of a file: whether it has been deleted.")


class FilesPath(BaseModel):
    job_id: UUID


class OutputPath(FilesPath):
    index: Annotated[int, Field(ge=0, le=1_000)]


def render(job: Snapshot) -> list[dict[str, Any]]:
    """What a job made, for its owner."""
    return [_render(job, index, output) for index, output in enumerate(job.outputs or ())]


def _render(job: Snapshot, index: int, output: dict[str, Any]) -> dict[str, Any]:
    shown = {"index": index, **output}
    if shown.pop("key", None) is None:
        return shown
    if job.outputs_deleted_at is not None:
        return {**shown, "url": None, "download_url": None, "download_expires_at": None, "deleted": True}
    link = Link(job.id, index, links.expiry())
    return {
        **shown,
        "url": f"/v1/jobs/{job.id}/outputs/{index}",
        "download_url": f"{settings().public_url}/v1/outputs/{links.sign(link)}",
        "download_expires_at": render_seconds(link.expires_at),
        "deleted": False,
    }


def tag(job: Snapshot) -> str:
    """What tells a job as it is shown now from what it was. Links are part of what is shown, and change with time: so a
    304 never leaves anybody with links that are about to run out."""
    seen = f"{job.id.hex}-{job.version}"
    if job.outputs and job.outputs_deleted_at is None and any("key" in output for output in job.outputs):
        return f"{seen}-{links.expiry()}"
    return seen


@api.get(
    "/<job_id>/outputs/<index>", responses={200: file("*/*"), 401: Problem, 404: Problem, 410: Problem, 422: Problem}
)
def output(path: OutputPath) -> Response:
    """One file that a job made. Parts of it can be asked for with `Range`."""
    with readings() as session:
        job = jobs.get(session, user_id=tokens.current_user_id(), job_id=path.job_id)
    described = outputs.file(job.outputs, job.outputs_deleted_at, path.index)
    return _send(described, path.job_id, path.index)


@api.delete("/<job_id>/outputs", responses={204: None, 401: Problem, 404: Problem, 409: Problem, 422: Problem})
def discard(path: FilesPath) -> tuple[str, int]:
    """Delete the files that a job made, now. What it made of words stays; so does what the job cost."""
    with readings() as session:
        job = outputs.discardable(session, user_id=tokens.current_user_id(), job_id=path.job_id)
    storage().delete_all(str(job.id))
    with sessions() as session:
        outputs.deleted(session, [job.id])
    return "", 204


@by_link.get("/v1/outputs/<link>")
def fetch(link: str) -> Response:
    """The file that a link is to, or the way to it where the storage hands out files itself."""
    there = links.read(link)
    # Whoever has the link may have this file, whosever it is, and nothing else is asked for.
    with acting.everyone(), readings() as session:
        described = outputs.of_link(session, job_id=there.job_id, index=there.index)
    left = links.seconds_left(there)
    name = _name(described, there.job_id, there.index)
    handed_out = storage().link(
        described["key"], seconds=left, method=request.method, media_type=described["media_type"], name=name
    )
    if handed_out is None:
        response = _send(described, there.job_id, there.index, seconds=left)
    else:
        response = redirect(handed_out, 302, Response)  # type: ignore[assignment]
        # As long as the address is good that it leads to, but for what is lost on the way.
        response.headers["Cache-Control"] = f"private, max-age={max(left - ON_THE_WAY_SECONDS, 0)}"
    response.headers["Cross-Origin-Resource-Policy"] = FOR_OTHER_PAGES
    return response


def _send(described: dict[str, Any], job_id: UUID, index: int, *, seconds: int = 0) -> Response:
    try:
        return files.send(
            described["key"], media_type=described["media_type"], name=_name(described, job_id, index),
            tag=described["sha256"], seconds=seconds,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotFound("This job has no such file.") from None


def _name(described: dict[str, Any], job_id: UUID, index: int) -> str:
    return f"{job_id}-{index}{guess_extension(described['media_type']) or ''}"
