"""Uploads over HTTP: brought, shown, handed out again, deleted; and what is refused."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from config import settings
from models import uploads
from models.database import moment, now, sessions
from models.outbox import Outbox
from models.users import User
from tasks.uploads import clear_uploads
from tests.http.conftest import Caller
from tests.uploads.bringing import bring, bring_in_form, brought, let_expire, rows, stored
from tests.uploads.drawings import FORMATS, PLACE, animated, exif, picture, pixels, png_with
from web.uploads import Places, places
from worker.storage import Folder, storage

DAY = 86_400
SignUp = Callable[[], Caller]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let users have so many bytes for their uploads."""

    def allow(size: int) -> None:
        monkeypatch.setenv("UPLOAD_SPACE_BYTES", str(size))
        settings.cache_clear()

    return allow


@pytest.mark.parametrize("media_type", FORMATS)
def test_a_picture_is_kept_and_handed_out_as_it_is(caller: Caller, media_type: str) -> None:
    data = picture(media_type, (41, 29))
    answer = bring(caller, data, media_type)
    assert answer.status_code == 201, answer.json
    upload: dict[str, Any] = answer.json or {}
    found = caller.get(upload["url"])
    assert (found.status_code, found.headers["Content-Type"]) == (200, media_type)
    assert pixels(found.data) == pixels(data)
    assert upload == {
        "id": upload["id"],
        "object": "upload",
        "media_type": media_type,
        "size": len(found.data),
        "width": 41,
        "height": 29,
        "sha256": hashlib.sha256(found.data).hexdigest(),
        "created_at": upload["created_at"],
        "expires_at": upload["expires_at"],
        "url": f"/v1/uploads/{upload['id']}/content",
    }
    assert caller.get(f"/v1/uploads/{upload['id']}").json == upload
    kept = datetime.fromisoformat(upload["expires_at"]) - datetime.fromisoformat(upload["created_at"])
    assert kept.total_seconds() == pytest.approx(7 * DAY, abs=1)
    assert stored() == {f"uploads/{caller.tokens['user']['id']}/{upload['id']}"}


def test_no_browser_takes_it_for_anything_else(caller: Caller) -> None:
    upload = brought(caller, "image/jpeg")
    answer = caller.get(upload["url"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == f"attachment; filename={upload['id']}.jpg"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    part = caller.get(upload["url"], Range="bytes=0-2")
    assert (part.status_code, part.data) == (206, b"\xff\xd8\xff")
    again = caller.get(upload["url"], **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_where_it_was_taken_is_not_kept(caller: Caller, files: Path) -> None:
    upload = bring(caller, picture("image/jpeg", exif=exif(6)), "image/jpeg").json or {}
    assert PLACE.encode() not in caller.get(upload["url"]).data
    assert all(PLACE.encode() not in file.read_bytes() for file in files.rglob("*") if file.is_file())


# Forms


def test_a_browser_sends_a_form(caller: Caller) -> None:
    answer = bring_in_form(caller, ("file", picture(), "cat.png", "image/png"))
    assert (answer.status_code, (answer.json or {})["media_type"]) == (201, "image/png")
    for name, content_type in (("blob", "application/octet-stream"), ("x", None)):
        assert bring_in_form(caller, ("file", picture(), name, content_type)).status_code == 200, "the same again"


def test_a_form_has_one_file_and_nothing_else(caller: Caller) -> None:
    one = ("file", picture(), "cat.png", "image/png")
    for files, fields, named in (
        ((), {}, ["file"]),
        ((one, one), {}, ["file"]),
        ((("picture", *one[1:]),), {}, ["picture", "file"]),
        ((one, ("other", *one[1:])), {}, ["other"]),
        ((one,), {"note": "mine"}, ["note"]),
        ((one,), {"file": "text"}, ["file"]),
        ((), {"file": "text"}, ["file"]),
    ):
        if "file" in fields and files:
            body = {"file": [fields["file"], (io.BytesIO(one[1]), "cat.png")]}
            answer = caller.client.post(
                "/v1/uploads", headers=caller.headers, data=body, content_type="multipart/form-data"
            )
        else:
            answer = bring_in_form(caller, *files, **fields)
        assert (answer.status_code, (answer.json or {})["code"]) == (422, "invalid_input")
        assert [error["field"] for error in (answer.json or {})["errors"]] == named
    assert (rows(), stored()) == (0, set())


def test_a_form_has_few_parts(caller: Caller) -> None:
    answer = bring_in_form(caller, *[("file", b"x", "x.png", "image/png")] * 11)
    assert answer.status_code == 413


# What is refused


@pytest.mark.parametrize(
    ("data", "content_type", "why", "said"),
    [
        (picture("image/jpeg"), "image/png", "type", "declared as image/png, but what came is image/jpeg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", "format", "no PNG, JPEG, WebP or GIF"),
        (b"", "image/png", "format", "no PNG"),
        (picture()[:-20], "image/png", "damaged", "ends too soon"),
        (png_with(data=b"\0"), "image/png", "damaged", "cannot be decoded"),
        (animated("image/gif"), "image/gif", "animated", "Only still pictures"),
        (png_with(width=50_000, height=50_000, data=b"\0"), "image/png", "pixels", "50000 × 50000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("how", ["body", "form"])
def test_what_is_no_good_picture_is_refused_and_nothing_is_kept(
    caller: Caller, data: bytes, content_type: str, why: str, said: str, how: str
) -> None:
    answer = (
        bring(caller, data, content_type) if how == "body" else bring_in_form(caller, ("file", data, "x", content_type))
    )
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"], problem["why"]) == (422, "picture_refused", why)
    assert said in problem["detail"]
    assert (rows(), stored()) == (0, set())


@pytest.mark.parametrize(
    "content_type", ["image/svg+xml", "application/json", "text/html", "image/heic", "application/octet-stream", ""]
)
def test_other_types_are_not_taken(caller: Caller, content_type: str) -> None:
    answer = bring(caller, picture(), content_type)
    assert (answer.status_code, (answer.json or {})["code"]) == (415, "unsupported_media_type")
    assert "image/png, image/jpeg, image/webp, image/gif" in (answer.json or {})["detail"]


def test_a_stranger_is_told_nothing_and_nothing_is_read(client: FlaskClient) -> None:
    for method, path in (
        ("POST", "/v1/uploads"), ("GET", "/v1/uploads"), ("GET", "/v1/uploads/x"), ("DELETE", "/v1/uploads/x"),
        ("GET", "/v1/uploads/x/content"),
    ):  # fmt: skip
        body = Endless()
        answer = client.open(path, method=method, content_type="image/png", environ_overrides=body.environ(1_000))
        assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthorized")
        assert body.read_so_far == 0


# How much


class Endless(io.RawIOBase):
    """A body that never ends and notes how much of it was read."""

    read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.read_so_far += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)

    def environ(self, length: int | None) -> dict[str, Any]:
        """What a web server says of it: so many bytes will come, or (None) they come in chunks until they end."""
        said = {"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": str(length)}
        return {"wsgi.input": self, "wsgi.input_terminated": True, **said}


def test_no_more_than_allowed_is_read_however_long_the_body_is(caller: Caller) -> None:
    most = settings().max_upload_bytes
    endless = Endless()
    answer = bring(caller, b"", environ_overrides=endless.environ(None))
    assert (answer.status_code, (answer.json or {})["code"]) == (413, "request_entity_too_large")
    assert endless.read_so_far <= most + 64 * 1024
    said = Endless()
    answer = bring(caller, b"", environ_overrides=said.environ(2 * most))
    assert answer.status_code == 413
    assert said.read_so_far == 0, "who says it is too long is believed"
    assert (rows(), stored()) == (0, set())


def test_a_form_may_be_a_little_longer_than_its_file(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture()
    monkeypatch.setenv("MAX_UPLOAD_BYTES", str(max(len(data), 1024)))
    settings.cache_clear()
    padded = data[:-12] + b"\0\0\3\xe8tEXt"  # not whole, as it is not looked at
    assert bring_in_form(caller, ("file", data, "cat.png", "image/png")).status_code == 201
    long = padded.ljust(max(len(data), 1024) + 1, b"\0")
    assert bring_in_form(caller, ("file", long, "cat.png", "image/png")).status_code == 413
    assert bring(caller, long).status_code == 413
    assert bring_in_form(caller, ("file", long * 40, "cat.png", "image/png")).status_code == 413


def test_other_calls_take_no_more_than_before(caller: Caller) -> None:
    for path in ("/v1/jobs", "/v1/jobs/estimate"):
        answer = caller.client.post(
            path, headers=caller.headers, data=b"{}".ljust(300_000), content_type="application/json"
        )
        assert answer.status_code == 413


def test_all_uploads_of_a_user_have_a_limit(caller: Caller, sign_up: SignUp, space: Callable[[int], None]) -> None:
    first = brought(caller, seed=1)
    size = max(first["size"], uploads.SMALLEST_FILE)
    space(3 * size)
    brought(caller, seed=2)
    third = brought(caller, seed=3)
    answer = bring(caller, picture(seed=4))
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"]) == (409, "upload_space_full")
    assert (problem["limit"], problem["used"]) == (3 * size, 3 * size)
    assert len(stored()) == rows() == 3, "what is refused is not even stored"
    assert bring(caller, picture(seed=3)).status_code == 200, "what is there takes no more"
    assert bring(sign_up(), picture(seed=4)).status_code == 201, "each has their own"
    assert caller.client.delete(f"/v1/uploads/{third['id']}", headers=caller.headers).status_code == 204
    assert bring(caller, picture(seed=4)).status_code == 409, "it still takes its place"
    clear_uploads()
    assert bring(caller, picture(seed=4)).status_code == 201


def test_tiny_files_count_as_what_they_take_on_a_disk(caller: Caller, space: Callable[[int], None]) -> None:
    space(2 * uploads.SMALLEST_FILE)
    tiny = [png_with(width=1, height=n) for n in (1, 2, 3)]
    assert [bring(caller, data).status_code for data in tiny] == [201, 201, 409]


def test_a_limit_that_another_request_reached_first_is_kept(caller: Caller, space: Callable[[int], None]) -> None:
    """It brings its picture between the two looks that a request takes."""
    put = Folder.put

    def put_after_another(folder: Folder, key: str, data: bytes) -> None:
        with mock.patch.object(Folder, "put", put):
            brought(caller, seed=1)
        put(folder, key, data)

    space(uploads.SMALLEST_FILE)
    with mock.patch.object(Folder, "put", put_after_another):
        answer = bring(caller, picture(seed=2))
    assert (answer.status_code, (answer.json or {})["code"]) == (409, "upload_space_full")
    assert rows() == 1


def test_the_same_picture_brought_twice_at_once_is_one_upload(caller: Caller) -> None:
    put = Folder.put
    firsts: list[dict[str, Any]] = []

    def put_after_another(folder: Folder, key: str, data: bytes) -> None:
        with mock.patch.object(Folder, "put", put):
            firsts.append(brought(caller))
        put(folder, key, data)

    with mock.patch.object(Folder, "put", put_after_another):
        answer = bring(caller, picture())
    assert (answer.status_code, (answer.json or {})["id"]) == (200, firsts[0]["id"])
    assert rows() == 1


def test_uploads_leave_threads_for_polling(sign_up: SignUp) -> None:
    ann, bob, eve = sign_up(), sign_up(), sign_up()
    ids = [who.tokens["user"]["id"] for who in (ann, bob)]
    full = Places(3)
    with mock.patch("web.uploads.places", return_value=full), full.taken(ids[0]), full.taken(ids[0]):
        with full.taken(ids[1]):
            answer = bring(eve, picture())
            assert (answer.status_code, (answer.json or {})["code"]) == (429, "too_many_uploads")
            assert int(answer.headers["Retry-After"]) >= 1
        assert bring(eve, picture()).status_code == 201
        assert bring(eve, b"nonsense").status_code == 422
        assert bring(eve, picture()).status_code == 200, "a place comes back whatever becomes of its upload"
    assert places()._all == settings().web_threads // 2


def test_one_user_brings_so_many_in_a_while(caller: Caller, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch) -> None:
    # No other test has this very limit, so nobody has come before.
    monkeypatch.setenv("UPLOAD_RATE_LIMIT", "2 per minute; 123457 per day")
    settings.cache_clear()
    assert bring(caller, picture()).status_code == 201
    assert bring(caller, b"nonsense").status_code == 422
    answer = bring(caller, picture())
    assert (answer.status_code, (answer.json or {})["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1
    assert caller.get("/v1/uploads").status_code == 200
    assert caller.submit().status_code == 202, "jobs have a limit of their own"
    assert bring(sign_up(), picture()).status_code == 201


def test_one_user_does_not_take_all_places(caller: Caller) -> None:
    few = Places(3)
    mine, other = caller.tokens["user"]["id"], "somebody else"
    with few.taken(mine), few.taken(mine):
        with pytest.raises(Exception, match="Wait until"), few.taken(mine):
            pass
        with few.taken(other):  # type: ignore[arg-type]
            pass
    assert not few._taken


def test_an_account_that_is_closing_brings_nothing_any_more(caller: Caller) -> None:
    """Its token is good for a moment longer, or its request was let in before."""
    with sessions() as session:
        session.execute(update(User).values(closing_at=now()))
    answer = bring(caller, picture())
    assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")
    assert rows() == 0


# The same again


def test_the_same_picture_again_is_the_same_upload_and_good_for_longer(caller: Caller, sign_up: SignUp) -> None:
    first = brought(caller, "image/jpeg")
    let_expire(first["id"], seconds=-3600)
    other_note = picture("image/jpeg", exif=exif(1))
    again = bring(caller, other_note, "image/jpeg")
    assert (again.status_code, again.json) == (200, {**first, "expires_at": (again.json or {})["expires_at"]})
    with sessions() as session:
        left = datetime.fromisoformat((again.json or {})["expires_at"]) - moment(session)
    assert left.total_seconds() == pytest.approx(7 * DAY, abs=60)
    assert (rows(), len(stored())) == (1, 1)
    somebody = bring(sign_up(), picture("image/jpeg"), "image/jpeg")
    assert somebody.status_code == 201, "what others have brought is nobody's business"
    assert (somebody.json or {})["id"] != first["id"]


def test_what_has_expired_does_not_come_back(caller: Caller) -> None:
    first = brought(caller)
    let_expire(first["id"])
    assert brought(caller)["id"] != first["id"]
    assert caller.get(f"/v1/uploads/{first['id']}").status_code == 404


# Whose they are


def test_uploads_of_others_do_not_exist(caller: Caller, sign_up: SignUp) -> None:
    upload = brought(caller)
    stranger = sign_up()
    here = f"/v1/uploads/{upload['id']}"
    for answer in (
        stranger.get(here),
        stranger.get(upload["url"]),
        stranger.client.delete(here, headers=stranger.headers),
        stranger.get("/v1/uploads/00000000-0000-7000-8000-000000000000"),
    ):
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")
    assert (stranger.get("/v1/uploads").json or {})["uploads"] == []
    assert (stranger.get(f"/v1/uploads?after={upload['id']}").json or {})["uploads"] == []
    assert caller.get(here).json == upload


def test_a_deleted_upload_is_gone_at_once_and_its_file_soon(caller: Caller) -> None:
    upload = brought(caller)
    here = f"/v1/uploads/{upload['id']}"
    assert caller.client.delete(here, headers=caller.headers).status_code == 204
    for path in (here, upload["url"]):
        assert caller.get(path).status_code == 404
    assert caller.client.delete(here, headers=caller.headers).status_code == 404
    with sessions() as session:
        staged = session.scalars(select(Outbox).where(Outbox.task == uploads.CLEAR_TASK)).all()
    assert [each.queue for each in staged] == ["maintenance"]
    clear_uploads()
    assert (rows(), stored()) == (0, set())


def test_an_upload_whose_file_was_lost_is_not_found(caller: Caller) -> None:
    upload = brought(caller)
    storage().delete(*stored())
    assert caller.get(upload["url"]).status_code == 404
    assert caller.get(f"/v1/uploads/{upload['id']}").status_code == 200


def test_uploads_are_listed_newest_first(caller: Caller) -> None:
    made = [brought(caller, seed=n)["id"] for n in range(5)]
    let_expire(made.pop(2))
    seen: list[str] = []
    path = "/v1/uploads?limit=3"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += [each["id"] for each in page["uploads"]]
        path = f"/v1/uploads?limit=3&after={page['next']}" if page["next"] else ""
    assert seen == made[::-1]
    for wrong in ("limit=0", "limit=101", "after=me", "colour=red"):
        assert caller.get(f"/v1/uploads?{wrong}").status_code == 422


def test_the_document_says_how_to_bring_a_picture(client: FlaskClient) -> None:
    paths: dict[str, Any] = (client.get("/openapi.json").json or {})["paths"]
    body = paths["/v1/uploads"]["post"]["requestBody"]
    assert set(body["content"]) == {*FORMATS, "multipart/form-data"}
    assert {"get", "delete"} <= set(paths["/v1/uploads/{upload_id}"])
    assert "get" in paths["/v1/uploads/{upload_id}/content"]
