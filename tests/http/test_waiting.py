"""`Prefer: wait=n`: the answer comes when the job has ended. Here with a real broker, and what a worker would do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from config import ROOT, settings
from models import database as db
from models import jobs
from models.acting import everyone
from models.database import at_once, engine, sessions
from models.jobs import Claim
from tests.http.conftest import Caller
from tests.system.house import until
from web import waiting
from web.waiting import Places
from worker import announcer
from worker.listener import Listener

LONG = "wait=20"
"""Longer than any test here takes, so that an answer before is one that was woken."""

AN_HOUR = 3600.0

Background = Callable[..., "Future[TestResponse]"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests may wait here; asked for before the database, with which the settings are read."""
    monkeypatch.setenv("WAIT_SECONDS_MAX", "20")


@pytest.fixture
def seats() -> Iterator[Places]:
    """Many places, and one user may have half of them."""
    made = Places(12)
    with mock.patch.object(waiting, "places", return_value=made):
        yield made


@pytest.fixture
def ear(broker: str, seats: Places) -> Iterator[Listener]:
    """Announcements are all there is: nobody looks just so within the test's patience."""
    made = Listener(broker)
    with (
        mock.patch.object(db, "_receivers", list(db._receivers)),
        mock.patch.object(waiting, "listener", return_value=made),
        mock.patch.object(waiting, "HEARING_PAUSE_SECONDS", AN_HOUR),
        mock.patch.object(waiting, "FIRST_PAUSE_SECONDS", AN_HOUR),
    ):
        announcer.start()
        yield made


@pytest.fixture
def deaf(seats: Places) -> Iterator[None]:
    """The broker is away."""
    with mock.patch.object(waiting, "listener", return_value=Listener("redis://127.0.0.1:1/0")):
        yield


@pytest.fixture
def background() -> Iterator[Background]:
    """Ask for something in a thread of its own."""
    with ThreadPoolExecutor(12) as threads:
        yield threads.submit


def _id(answer: TestResponse) -> UUID:
    return UUID((answer.json or {})["id"])


def _path(answer: TestResponse) -> str:
    path: str = (answer.json or {})["urls"]["get"]
    return path


def _claim(job_id: UUID) -> Claim:
    with sessions() as session:
        claim = jobs.claim(session, job_id, lease_seconds=30)
    assert claim is not None
    return claim


def _fail(claim: Claim) -> None:
    with sessions() as session:
        jobs.fail(session, claim, code="provider_refused", message="no")


def _waits(seats: Places, number: int = 1) -> None:
    until(lambda: len(seats._taken) == number)


def _hears(ear: Listener, job_id: UUID) -> None:
    until(lambda: ear.hears(job_id))


def _newest(caller: Caller) -> UUID:
    return until(lambda: UUID(found[0]["id"]) if (found := (caller.get("/v1/jobs").json or {})["jobs"]) else None)


def test_a_submission_is_answered_when_its_job_ends(caller: Caller, ear: Listener, background: Background) -> None:
    body = {"action": "chat", "input": {"prompt": "hello"}}
    asked = background(caller.post, "/v1/jobs", body, Prefer=LONG, **{"Idempotency-Key": "k1"})
    job_id = _newest(caller)
    _hears(ear, job_id)
    assert engine().pool.checkedout() == db._autocommitting(engine()).pool.checkedout() == 0  # type: ignore[attr-defined]
    claim = _claim(job_id)
    assert not asked.done()
    made: dict[str, Any] = {"outputs": [{"type": "text", "text": "yes"}], "usage": {}, "delivered_percent": 100}
    with at_once() as session:
        at_once_done = jobs.complete_at_once(session, claim, **made)
    if not at_once_done:
        with sessions() as session:
            jobs.complete(session, claim, **made)
    answer = asked.result()
    assert (answer.status_code, (answer.json or {})["status"]) == (200, "completed")
    assert (answer.json or {})["outputs"][0]["text"] == "yes"
    assert answer.headers["Preference-Applied"] == LONG
    assert answer.headers["Location"] == _path(answer)
    assert "Retry-After" not in answer.headers
    again = caller.post("/v1/jobs", body, Prefer=LONG, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json) == (200, answer.json)
    assert (again.headers["Idempotency-Replayed"], again.headers["Preference-Applied"]) == ("true", LONG)
    plain = caller.post("/v1/jobs", body, **{"Idempotency-Key": "k1"})
    assert (plain.status_code, (plain.json or {})["status"]) == (202, "queued"), "the first answer, as ever"


def test_every_ending_wakes_those_who_wait(
    caller: Caller, sign_up: Callable[[], Caller], ear: Listener, background: Background, seats: Places
) -> None:
    others = [sign_up() for _ in range(2)]
    submitted = [(who, _path(who.submit())) for who in (caller, caller, *others)]
    expiring = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "x"}, "expires_in": 1})
    submitted.append((caller, _path(expiring)))
    asked = [background(who.get, path, Prefer=LONG) for who, path in submitted]
    twice = background(caller.get, submitted[0][1], Prefer=LONG)
    _waits(seats, 6)
    ids = [UUID(path.rpartition("/")[2]) for _, path in submitted]
    for job_id in ids:
        _hears(ear, job_id)
    caller.post(f"{submitted[0][1]}/cancel")
    _fail(_claim(ids[1]))
    with sessions() as session:
        lost = jobs.claim(session, ids[2], lease_seconds=-1)
        assert lost is not None
    with sessions() as session:
        session.get_one(jobs.Job, ids[2]).max_attempts = 1
    with sessions() as session:
        jobs.rescue_silent(session, base_seconds=0)
    with sessions() as session:
        jobs.cancel_waiting(session, user_id=UUID(others[1].tokens["user"]["id"]))

    def expire() -> bool:
        with sessions() as session:
            return jobs.expire_waiting(session) == 1

    until(expire)
    statuses = [(each.result().json or {})["status"] for each in [*asked, twice]]
    assert statuses == ["canceled", "failed", "failed", "canceled", "expired", "canceled"]
    assert not seats._taken
    until(lambda: not ear._subscribed)


def test_another_process_announces_it(
    caller: Caller, ear: Listener, background: Background, seats: Places, database: str
) -> None:
    path = _path(caller.submit())
    asked = background(caller.get, path, Prefer=LONG)
    _waits(seats)
    _hears(ear, UUID(path.rpartition("/")[2]))
    code = (
        "import sys, time, uuid\n"
        "from models import jobs\n"
        "import models.tables\n"
        "from models.database import sessions\n"
        "from worker import announcer\n"
        "announcer.start()\n"
        "with sessions() as session:\n"
        "    claim = jobs.claim(session, uuid.UUID(sys.argv[1]), lease_seconds=30)\n"
        "with sessions() as session:\n"
        "    jobs.fail(session, claim, code='provider_refused', message='no')\n"
        "sys.stdin.read()\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, path.rpartition("/")[2]], cwd=ROOT, stdin=subprocess.PIPE)
    try:
        assert (asked.result().json or {})["status"] == "failed"
    finally:
        worker.communicate(b"")
    assert worker.returncode == 0


def test_what_ends_between_the_look_and_the_subscription_is_not_missed(caller: Caller, ear: Listener) -> None:
    answer = caller.submit()
    claim = _claim(_id(answer))
    listening = ear.listening

    @contextmanager
    def late(job_id: UUID, alarm: Event) -> Iterator[None]:
        with everyone(), mock.patch.object(db, "_receivers", []):
            _fail(claim)
        with listening(job_id, alarm):
            yield

    with mock.patch.object(ear, "listening", late):
        seen = caller.get(_path(answer), Prefer=LONG)
    assert ((seen.json or {})["status"], seen.headers["Preference-Applied"]) == ("failed", LONG)


def test_without_the_broker_somebody_looks(caller: Caller, deaf: None, background: Background, seats: Places) -> None:
    answer = caller.submit()
    asked = background(caller.get, _path(answer), Prefer=LONG)
    _waits(seats)
    _fail(_claim(_id(answer)))
    assert (asked.result().json or {})["status"] == "failed"


def test_a_lost_announcement_is_made_up_for(caller: Caller, ear: Listener, background: Background) -> None:
    answer = caller.submit()
    with mock.patch.object(waiting, "HEARING_PAUSE_SECONDS", 0.2), mock.patch.object(db, "_receivers", []):
        asked = background(caller.get, _path(answer), Prefer=LONG)
        _hears(ear, _id(answer))
        _fail(_claim(_id(answer)))
        assert (asked.result().json or {})["status"] == "failed"


def test_rabbitmq_announces_nothing() -> None:
    deaf = Listener("amqp://guest@127.0.0.1:5672//")
    job_id, alarm = UUID(int=1), Event()
    with deaf.listening(job_id, alarm):
        assert not deaf.hears(job_id)
        assert not deaf._pid, "there is no thread to look after"
    assert not announcer.announces("amqps://broker/")
    assert announcer.announces("unix:///run/valkey.sock")


def test_a_restarted_broker_is_listened_to_again(caller: Caller, ear: Listener, background: Background) -> None:
    answer = caller.submit()
    asked = background(caller.get, _path(answer), Prefer=LONG)
    _hears(ear, _id(answer))
    with announcer.client(settings().redis_url) as redis:
        redis.client_kill_filter(_type="pubsub")
    until(lambda: not ear.hears(_id(answer)) or None, patience=5)
    _hears(ear, _id(answer))
    _fail(_claim(_id(answer)))
    assert (asked.result().json or {})["status"] == "failed"


def test_a_broker_with_nothing_to_say_is_kept(caller: Caller, ear: Listener, background: Background) -> None:
    connecting = mock.patch("worker.listener.client", wraps=announcer.client)
    with mock.patch("worker.listener.PING_SECONDS", 0.05), connecting as connected:
        for _ in range(2):
            answer = caller.submit()
            asked = background(caller.get, _path(answer), Prefer=LONG)
            _hears(ear, _id(answer))
            time.sleep(0.2)
            _fail(_claim(_id(answer)))
            assert (asked.result().json or {})["status"] == "failed"
            time.sleep(0.2)
    assert connected.call_count == 1


def test_a_broker_that_is_frozen_is_given_up_and_found_again(
    caller: Caller, ear: Listener, background: Background
) -> None:
    frozen, silence = socket.create_server(("127.0.0.1", 0)), mock.patch("worker.listener.PING_SECONDS", 0.2)
    port = frozen.getsockname()[1]
    answer = caller.submit()
    with frozen, silence, mock.patch("worker.announcer.SOCKET_SECONDS", 0.2):
        with mock.patch.object(ear, "_url", f"redis://127.0.0.1:{port}/0"):
            asked = background(caller.get, _path(answer), Prefer=LONG)
            until(lambda: ear._failing)
        _hears(ear, _id(answer))
    _fail(_claim(_id(answer)))
    assert (asked.result().json or {})["status"] == "failed"


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
    shown = caller.get(_path(answer), Prefer="wait=1")
    assert (shown.status_code, (shown.json or {})["status"]) == (200, "queued")
    monkeypatch.setenv("WAIT_SECONDS_MAX", "0")
    settings.cache_clear()
    assert "Preference-Applied" not in caller.get(_path(answer), Prefer="wait=5").headers


def test_with_a_tag_it_waits_for_anything_new(
    caller: Caller, deaf: None, background: Background, seats: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = caller.submit()
    tag = {"If-None-Match": caller.get(_path(answer)).headers["ETag"]}
    asked = background(caller.get, _path(answer), Prefer=LONG, **tag)
    _waits(seats)
    claim = _claim(_id(answer))
    running = asked.result()
    assert (running.status_code, (running.json or {})["status"]) == (200, "running")
    assert caller.get(_path(answer), Prefer=LONG, **tag).status_code == 200, "it is new already"
    unchanged = caller.get(_path(answer), Prefer="wait=1", **{"If-None-Match": running.headers["ETag"]})
    assert (unchanged.status_code, unchanged.headers["Preference-Applied"]) == (304, "wait=1")
    _fail(claim)
    ended = caller.get(_path(answer))
    unchanged = caller.get(_path(answer), Prefer=LONG, **{"If-None-Match": ended.headers["ETag"]})
    assert (unchanged.status_code, unchanged.headers["Preference-Applied"]) == (304, LONG), "nothing new can come"


def test_who_finds_no_place_is_answered_at_once(
    caller: Caller, sign_up: Callable[[], Caller], ear: Listener, background: Background
) -> None:
    few = Places(4)
    with mock.patch.object(waiting, "places", return_value=few):
        other, third = sign_up(), sign_up()
        first = caller.submit()
        asked = [background(caller.get, _path(first), Prefer=LONG) for _ in range(2)]
        _waits(few, 2)
        answer = caller.get(_path(first), Prefer=LONG)
        assert (answer.status_code, "Preference-Applied" in answer.headers) == (200, False), "one user has half of them"
        theirs = other.submit()
        asked.append(background(other.get, _path(theirs), Prefer=LONG))
        _waits(few, 3)
        answer = third.post("/v1/jobs", {"action": "chat", "input": {"prompt": "hello"}}, Prefer=LONG)
        assert (answer.status_code, "Preference-Applied" in answer.headers) == (202, False), "the last is for payments"
        with few.one() as alarm:
            assert alarm is not None
        _fail(_claim(_id(first)))
        _fail(_claim(_id(theirs)))
        assert [(each.result().json or {})["status"] for each in asked] == ["failed"] * 3
        assert "Preference-Applied" in third.get(_path(answer), Prefer="wait=1").headers, "places come back"


def test_one_thread_in_so_many_may_wait(monkeypatch: pytest.MonkeyPatch, sqlite: str) -> None:
    monkeypatch.setenv("WEB_THREADS", "48")
    settings.cache_clear()
    places = waiting.places.__wrapped__()
    assert (places._all, places._of_one) == (48 // waiting.SHARE_OF_THREADS, 24 // waiting.SHARE_OF_THREADS)


def test_who_waits_is_sent_away_when_the_process_ends(
    caller: Caller, ear: Listener, background: Background, seats: Places
) -> None:
    answer = caller.submit()
    asked = background(caller.get, _path(answer), Prefer=LONG)
    _waits(seats)
    seats.close()
    seen = asked.result()
    assert (seen.status_code, (seen.json or {})["status"]) == (200, "queued")
    assert "Preference-Applied" not in seen.headers
    assert "Preference-Applied" not in caller.get(_path(answer), Prefer=LONG).headers


def test_who_hangs_up_leaves_the_place(caller: Caller, deaf: None, seats: Places) -> None:
    answer = caller.submit()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = {"environ_overrides": {"gunicorn.socket": ours}}
        headers = {**caller.headers, "Prefer": "wait=1"}
        for still_there in (b"", b"the next request"):
            theirs.send(still_there)
            with mock.patch.object(jobs, "read", wraps=jobs.read) as looked:
                caller.client.get(_path(answer), headers=headers, **connection)
            assert looked.call_count > 2
        ours.recv(100)
        theirs.close()
        with mock.patch.object(jobs, "read", wraps=jobs.read) as looked:
            caller.client.get(_path(answer), headers={**headers, "Prefer": LONG}, **connection)
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
    path = _path(caller.submit())
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
