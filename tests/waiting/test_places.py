"""`Prefer: wait=n`: what is read of it, how long and how many may wait, and what sends them away."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from sqlalchemy.exc import OperationalError

from config import settings
from models import jobs
from tests.http.conftest import Caller
from tests.waiting.waiters import LONG, SOON_SECONDS, Background, claimed, fail, id_of, path_of, waits
from web import waiting
from web.waiting import Places
from worker.listener import Listener


@pytest.mark.parametrize(
    ("preferred", "applied"),
    [
        ("wait=1", "wait=1"),
        ("respond-async, wait=1", "wait=1"),
        ('Wait = "1"; strictly', "wait=1"),
        ('return=minimal; foo="a, wait=9", wait=1', "wait=1"),
        ("wait=1, wait=9", "wait=1"),
        (f"wait={'9' * 30}", LONG),
        ("wait=0", None),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=soon, wait=1", None),
        ("wait=\u0661", None),
        ("waiting=1", None),
        ('"wait=1"', None),
        (",;=", None),
        ("respond-async", None),
    ],
)
def test_what_is_preferred_is_read_as_the_rfc_has_it(
    app: Any, sqlite: str, preferred: str, applied: str | None
) -> None:
    from web.requests import preferred_wait

    with app.test_request_context("/v1/jobs", headers={"Prefer": preferred}):
        assert preferred_wait() == (int(applied.partition("=")[2]) if applied else 0)


def test_nobody_waits_for_longer_than_is_allowed(caller: Caller, deaf: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAIT_SECONDS_MAX", "1")
    settings.cache_clear()
    answer = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "hello"}}, Prefer="wait=5")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")
    assert int(answer.headers["Retry-After"]) >= 1
    shown = caller.get(path_of(answer), Prefer="wait=1")
    assert (shown.status_code, (shown.json or {})["status"]) == (200, "queued")
    monkeypatch.setenv("WAIT_SECONDS_MAX", "0")
    settings.cache_clear()
    assert "Preference-Applied" not in caller.get(path_of(answer), Prefer="wait=5").headers


def test_with_a_tag_it_waits_for_anything_new(
    caller: Caller, deaf: None, background: Background, seats: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = caller.submit()
    tag = {"If-None-Match": caller.get(path_of(answer)).headers["ETag"]}
    asked = background(caller.get, path_of(answer), Prefer=LONG, **tag)
    waits(seats)
    claim = claimed(id_of(answer))
    running = asked.result(SOON_SECONDS)
    assert (running.status_code, (running.json or {})["status"]) == (200, "running")
    assert caller.get(path_of(answer), Prefer=LONG, **tag).status_code == 200, "it is new already"
    unchanged = caller.get(path_of(answer), Prefer="wait=1", **{"If-None-Match": running.headers["ETag"]})
    assert (unchanged.status_code, unchanged.headers["Preference-Applied"]) == (304, "wait=1")
    fail(claim)
    ended = caller.get(path_of(answer))
    unchanged = caller.get(path_of(answer), Prefer=LONG, **{"If-None-Match": ended.headers["ETag"]})
    assert (unchanged.status_code, unchanged.headers["Preference-Applied"]) == (304, LONG), "nothing new can come"


def test_who_finds_no_place_is_answered_at_once(
    caller: Caller, sign_up: Callable[[], Caller], ear: Listener, background: Background
) -> None:
    few = Places(4)
    with mock.patch.object(waiting, "places", return_value=few):
        other, third = sign_up(), sign_up()
        first = caller.submit()
        asked = [background(caller.get, path_of(first), Prefer=LONG) for _ in range(2)]
        waits(few, 2)
        answer = caller.get(path_of(first), Prefer=LONG)
        assert (answer.status_code, "Preference-Applied" in answer.headers) == (200, False), "one user has half of them"
        theirs = other.submit()
        asked.append(background(other.get, path_of(theirs), Prefer=LONG))
        waits(few, 3)
        answer = third.post("/v1/jobs", {"action": "chat", "input": {"prompt": "hello"}}, Prefer=LONG)
        assert (answer.status_code, "Preference-Applied" in answer.headers) == (202, False), "the last is for payments"
        with few.one() as alarm:
            assert alarm is not None
        fail(claimed(id_of(first)))
        fail(claimed(id_of(theirs)))
        assert [(each.result(SOON_SECONDS).json or {})["status"] for each in asked] == ["failed"] * 3
        assert "Preference-Applied" in third.get(path_of(answer), Prefer="wait=1").headers, "places come back"


def test_one_thread_in_so_many_may_wait(monkeypatch: pytest.MonkeyPatch, sqlite: str) -> None:
    monkeypatch.setenv("WEB_THREADS", "48")
    settings.cache_clear()
    places = waiting.places.__wrapped__()
    assert (places._all, places._of_one) == (48 // waiting.SHARE_OF_THREADS, 24 // waiting.SHARE_OF_THREADS)


def test_who_waits_is_sent_away_when_the_process_ends(
    caller: Caller, ear: Listener, background: Background, seats: Places
) -> None:
    answer = caller.submit()
    asked = background(caller.get, path_of(answer), Prefer=LONG)
    waits(seats)
    seats.close()
    seen = asked.result(SOON_SECONDS)
    assert (seen.status_code, (seen.json or {})["status"]) == (200, "queued")
    assert "Preference-Applied" not in seen.headers
    assert "Preference-Applied" not in caller.get(path_of(answer), Prefer=LONG).headers


def test_who_hangs_up_leaves_the_place(caller: Caller, deaf: None, seats: Places) -> None:
    answer = caller.submit()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = {"environ_overrides": {"gunicorn.socket": ours}}
        headers = {**caller.headers, "Prefer": "wait=1"}
        for still_there in (b"", b"the next request"):
            theirs.send(still_there)
            with mock.patch.object(jobs, "read", wraps=jobs.read) as looked:
                caller.client.get(path_of(answer), headers=headers, **connection)
            assert looked.call_count > 2
        ours.recv(100)
        theirs.close()
        with mock.patch.object(jobs, "read", wraps=jobs.read) as looked:
            caller.client.get(path_of(answer), headers={**headers, "Prefer": LONG}, **connection)
        assert looked.call_count == 1, "nobody is there to be told"
    assert not seats._taken


def test_a_database_that_goes_away_does_not_take_the_accepted_job_back(
    caller: Caller, deaf: None, seats: Places
) -> None:
    away = OperationalError("SELECT", None, Exception("gone"))
    with mock.patch.object(jobs, "read", side_effect=away):
        answer = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "hello"}}, Prefer="wait=1")
    assert (answer.status_code, (answer.json or {})["status"]) == (202, "queued")


def test_jobs_of_others_are_not_waited_for(caller: Caller, sign_up: Callable[[], Caller], seats: Places) -> None:
    path = path_of(caller.submit())
    answer = sign_up().get(path, Prefer=LONG)
    assert (answer.status_code, "Preference-Applied" in answer.headers) == (404, False)


def test_the_document_tells_of_it(caller: Caller) -> None:
    document: dict[str, Any] = caller.get("/openapi.json").json or {}
    for path, method, statuses in (
        ("/v1/jobs", "post", ("200", "202")),
        ("/v1/jobs/{job_id}", "get", ("200", "304")),
    ):
        operation = document["paths"][path][method]
        assert "Prefer" in [each["name"] for each in operation["parameters"]]
        for status in statuses:
            assert "Preference-Applied" in operation["responses"][status]["headers"]
