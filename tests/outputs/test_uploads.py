"""Uploads in a bucket: brought, shown, worked on and cleared away as they are in a folder (tests/uploads)."""

from __future__ import annotations

from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from tasks.generation import run
from tasks.uploads import clear_uploads, delete_orphaned_uploads
from tests.http.conftest import Caller
from tests.outputs import making, s3
from tests.uploads.bringing import ask, bring, brought, let_be_over, rows
from tests.uploads.drawings import picture, pixels
from web.shelf import shelf
from worker import pictures
from worker.ai.provider import Refused, Unavailable
from worker.storage import Storage


@pytest.fixture
def client(app: object, sqlite: str) -> FlaskClient:
    """The front door on one database: what differs here is the storage."""
    shelf.look_again()
    made: FlaskClient = app.test_client()  # type: ignore[attr-defined]
    return made


def test_an_upload_lives_in_a_bucket(bucket: Storage, caller: Caller) -> None:
    upload = brought(caller, size=(41, 29))
    [key] = making.left()
    whole = caller.get(upload["url"])
    assert (whole.status_code, len(whole.data), whole.content_type) == (200, upload["size"], "image/png")
    part = caller.get(upload["url"], Range="bytes=1-3")
    assert (part.status_code, part.data) == (206, b"PNG")
    job = ask(caller, upload=upload["id"], scale=2).json or {}
    found = pictures.of_job(UUID(job["id"]), {"upload": upload["id"]}, seconds=5)
    assert (found.sha256, pixels(found.data)) == (upload["sha256"], pixels(whole.data))
    run(job["id"])
    assert making.left() == {key, f"{job['id']}/1/0"}
    let_be_over(upload["id"])
    bucket.put("uploads/somebody/orphan", b"x")
    clear_uploads()
    with mock.patch("tasks.uploads.ORPHANED_SECONDS", -60.0):
        delete_orphaned_uploads()
    assert (rows(), making.left()) == (0, {f"{job['id']}/1/0"})


def test_a_storage_that_is_away_takes_no_upload_and_loses_none(
    bucket: Storage, service: s3.Service, caller: Caller
) -> None:
    upload = brought(caller)
    job_id = UUID((ask(caller, upload=upload["id"], scale=2).json or {})["id"])
    service.refuses = lambda _: True
    with mock.patch("botocore.endpoint.time.sleep"):
        answer = bring(caller, picture(seed=9))
        assert (answer.status_code, (answer.json or {})["code"]) == (503, "storage_unavailable")
        assert caller.get(upload["url"]).status_code == 503
        with pytest.raises(Unavailable):
            pictures.of_job(job_id, {"upload": upload["id"]}, seconds=5)
    service.get_over_it()
    assert rows() == 1
    bucket.delete(*making.left())
    assert caller.get(upload["url"]).status_code == 404
    with pytest.raises(Refused):
        pictures.of_job(job_id, {"upload": upload["id"]}, seconds=5)
