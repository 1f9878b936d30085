"""How much may be brought along: of one picture, of one user, in a while, and at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from config import settings
from models import uploads
from tasks.uploads import clear_uploads
from tests.http.conftest import Caller
from tests.uploads.bringing import Endless, bring, bring_in_form, brought, rows, stored
from tests.uploads.drawings import picture, png_with
from web.uploads import Places, places
from worker.storage import Folder

SignUp = Callable[[], Caller]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let users have so many bytes for their uploads."""

    def allow(size: int) -> None:
        monkeypatch.setenv("UPLOAD_SPACE_BYTES", str(size))
        settings.cache_clear()

    return allow


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

    def put_after_another(folder: Folder, key: str, data: bytes, **how: Any) -> None:
        with mock.patch.object(Folder, "put", put):
            brought(caller, seed=1)
        put(folder, key, data, **how)

    space(uploads.SMALLEST_FILE)
    with mock.patch.object(Folder, "put", put_after_another):
        answer = bring(caller, picture(seed=2))
    assert (answer.status_code, (answer.json or {})["code"]) == (409, "upload_space_full")
    assert rows() == 1


def test_the_same_picture_brought_twice_at_once_is_one_upload(caller: Caller) -> None:
    put = Folder.put
    firsts: list[dict[str, Any]] = []

    def put_after_another(folder: Folder, key: str, data: bytes, **how: Any) -> None:
        with mock.patch.object(Folder, "put", put):
            firsts.append(brought(caller))
        put(folder, key, data, **how)

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
