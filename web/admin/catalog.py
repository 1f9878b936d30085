"""The catalog, edited as a whole: each edit is a new version, and none is ever lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models.catalog import Catalog, editing, presets
from models.catalog.editing import Edited, Version
from models.database import readings, sessions
from models.errors import Fault, InvalidInput
from web import tokens
from web.admin import doors
from web.pages import HIGHEST_KEY, PageQuery
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.texts import Line
from web.times import render_time

api = APIBlueprint(
    "admin_catalog",
    __name__,
    url_prefix="/v1/admin/catalog",
    abp_tags=[{"name": "admin"}],
    abp_security=tokens.BY_ADMIN,
)
api.before_request(doors.admit)

TAG = re.compile(r'(?:W/)?"?([0-9]{1,18})"?')

Why = Annotated[Line, Field(max_length=500)]


class VersionPath(BaseModel):
    catalog_version: Annotated[int, Field(ge=1, le=HIGHEST_KEY)]


class DryRunQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    dry_run: bool = Field(False, description="Say what would change, and change nothing.")


class EditRequest(Body):
    reason: Why = Field(description="For the audit log.")


class CatalogRequest(EditRequest):
    document: dict[str, Any] = Field(description="The whole catalog, as a preset says it, in JSON (docs/catalog.md).")


class VersionView(BaseModel):
    version: int
    object: str
    name: str
    digest: str
    loaded_at: str


class VersionList(BaseModel):
    versions: list[VersionView]
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class CatalogView(VersionView):
    document: dict[str, Any] = Field(description="Without what is the default anyway.")


class ChangeView(BaseModel):
    path: str
    before: Any
    after: Any


class EditView(BaseModel):
    object: str
    version: int = Field(description="The version that is sold now.")
    changed: bool = Field(description="Whether it is a new one.")
    changes: list[ChangeView] = Field(description="Every value that differs, by path.")


def _version(found: Version) -> dict[str, Any]:
    return {
        "version": found.id,
        "object": "catalog_version",
        "name": found.name,
        "digest": found.digest,
        "loaded_at": render_time(found.loaded_at),
    }


def render_edit(made: Edited) -> dict[str, Any]:
    return {
        "object": "catalog_edit",
        "version": made.version,
        "changed": made.changed,
        "changes": [{"path": each.path, "before": each.before, "after": each.after} for each in made.changes],
    }


def expected_version() -> int | None:
    """The version that the editor has read, by `If-Match`; None when it is not said. Raises `InvalidInput`."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    found = TAG.fullmatch(given.strip())
    if not found:
        raise InvalidInput(Fault("If-Match", 'expected the version that you have read, such as "7"'))
    return int(found[1])


def edited(edit: Callable[[Catalog | None], Catalog], *, reason: str, dry_run: bool = False) -> Response:
    """Make an edit, which this process sells at once and others within seconds."""
    with sessions() as session:
        made = editing.store(
            session, by=doors.acting(), edit=edit, reason=reason, expected=expected_version(), dry_run=dry_run
        )
    return answered(made)


def answered(made: Edited) -> Response:
    shelf.look_again()
    response = jsonify(render_edit(made))
    response.set_etag(str(made.version))
    return response


@api.get("", responses={200: CatalogView, 401: Problem, 403: Problem, 404: Problem})
def show() -> Response:
    """What is sold now, with its version, which is the `ETag` too."""
    with readings() as session:
        version = editing.newest(session)
    return _shown(version)


@api.put("", responses={200: EditView, 401: Problem, 403: Problem, 412: Problem, 422: Problem})
def replace(query: DryRunQuery, body: CatalogRequest) -> Response:
    """Sell what this document says. It needs `If-Match` with the version that you have read."""
    if expected_version() is None:
        raise InvalidInput(Fault("If-Match", "expected the version that you have read, so that no edit is lost"))
    catalog = presets.checked(body.document, under="document")
    return edited(editing.to(catalog), reason=body.reason, dry_run=query.dry_run)


@api.get("/versions", responses={200: VersionList, 401: Problem, 403: Problem, 422: Problem})
def history(query: PageQuery) -> dict[str, Any]:
    """What was sold when, newest first."""
    with readings() as session:
        found, following = editing.versions(session, limit=query.limit, after=query.after)
    return {"versions": [_version(each) for each in found], "next": following}


@api.get(
    "/versions/<catalog_version>", responses={200: CatalogView, 401: Problem, 403: Problem, 404: Problem, 422: Problem}
)
def look_back(path: VersionPath) -> Response:
    """What a version says."""
    return _shown(path.catalog_version)


@api.post(
    "/versions/<catalog_version>/restore",
    responses={200: EditView, 401: Problem, 403: Problem, 404: Problem, 412: Problem, 422: Problem},
)
def restore(path: VersionPath, query: DryRunQuery, body: EditRequest) -> Response:
    """Sell again what a version sold: as a new one. `If-Match` is heeded if it is there."""
    with sessions() as session:
        made = editing.store(
            session, by=doors.acting(), edit=editing.restoring(session, path.catalog_version), reason=body.reason,
            expected=expected_version(), dry_run=query.dry_run,
        )  # fmt: skip
    return answered(made)


def _shown(version: int) -> Response:
    with readings() as session:
        found, document = editing.version_of(session, version), editing.document(session, version)
    short = presets.shortened(Catalog.model_validate(document))
    response = jsonify({**_version(found), "document": short})
    response.set_etag(str(version))
    return response
