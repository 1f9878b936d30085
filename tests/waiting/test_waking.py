"""`Prefer: wait=n`: the answer comes when the job has ended. Here with a real broker, and what a worker would do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest import mock
from uuid import UUID

from config import ROOT, settings
from models import database as db
from models import jobs
from models.acting import everyone
from models.database import at_once, engine, sessions
from tests.http.conftest import Caller
from tests.system.house import until
from tests.waiting.waiters import LONG, SOON_SECONDS, Background, claimed, fail, hears, id_of, newest, path_of, waits
from web import waiting
from web.waiting import Places
from worker import announcer
from worker.listener import Listener


def test_a_submission_is_answered_when_its_job_ends(caller: Caller, ear: Listener, background: Background) -> None:
    body = {"action": "chat", "input": {"prompt": "hello"}}
    asked = background(caller.post, "/v1/jobs", body, Prefer=LONG, **{"Idempotency-Key": "k1"})
    job_id = newest(caller)
    hears(ear, job_id)
    assert engine().pool.checkedout() == db._autocommitting(engine()).pool.checkedout() == 0  # type: ignore[attr-defined]
    claim = claimed(job_id)
    assert not asked.done()
    made: dict[str, Any] = {"outputs": [{"type": "text", "text": "yes"}], "usage": {}, "delivered_percent": 100}
    with at_once() as session:
        at_once_done = jobs.complete_at_once(session, claim, **made)
    if not at_once_done:
        with sessions() as session:
            jobs.complete(session, claim, **made)
    answer = asked.result(SOON_SECONDS)
    assert (answer.status_code, (answer.json or {})["status"]) == (200, "completed")
    assert (answer.json or {})["outputs"][0]["text"] == "yes"
    assert answer.headers["Preference-Applied"] == LONG
    assert answer.headers["Location"] == path_of(answer)
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
    submitted = [(who, path_of(who.submit())) for who in (caller, caller, *others)]
    expiring = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "x"}, "expires_in": 1})
    submitted.append((caller, path_of(expiring)))
    asked = [background(who.get, path, Prefer=LONG) for who, path in submitted]
    twice = background(caller.get, submitted[0][1], Prefer=LONG)
    waits(seats, 6)
    ids = [UUID(path.rpartition("/")[2]) for _, path in submitted]
    for job_id in ids:
        hears(ear, job_id)
    caller.post(f"{submitted[0][1]}/cancel")
    fail(claimed(ids[1]))
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
    statuses = [(each.result(SOON_SECONDS).json or {})["status"] for each in [*asked, twice]]
    assert statuses == ["canceled", "failed", "failed", "canceled", "expired", "canceled"]
    assert not seats._taken
    until(lambda: not ear._subscribed)


def test_another_process_announces_it(
    caller: Caller, ear: Listener, background: Background, seats: Places, database: str
) -> None:
    path = path_of(caller.submit())
    asked = background(caller.get, path, Prefer=LONG)
    waits(seats)
    hears(ear, UUID(path.rpartition("/")[2]))
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
        assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"
    finally:
        worker.communicate(b"")
    assert worker.returncode == 0


def test_what_ends_between_the_look_and_the_subscription_is_not_missed(caller: Caller, ear: Listener) -> None:
    answer = caller.submit()
    claim = claimed(id_of(answer))
    listening = ear.listening

    @contextmanager
    def late(job_id: UUID, alarm: Event) -> Iterator[None]:
        with everyone(), mock.patch.object(db, "_receivers", []):
            fail(claim)
        with listening(job_id, alarm):
            yield

    with mock.patch.object(ear, "listening", late):
        seen = caller.get(path_of(answer), Prefer=LONG)
    assert ((seen.json or {})["status"], seen.headers["Preference-Applied"]) == ("failed", LONG)


def test_without_the_broker_somebody_looks(caller: Caller, deaf: None, background: Background, seats: Places) -> None:
    answer = caller.submit()
    asked = background(caller.get, path_of(answer), Prefer=LONG)
    waits(seats)
    fail(claimed(id_of(answer)))
    assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"


def test_a_lost_announcement_is_made_up_for(caller: Caller, ear: Listener, background: Background) -> None:
    answer = caller.submit()
    with mock.patch.object(waiting, "HEARING_PAUSE_SECONDS", 0.2), mock.patch.object(db, "_receivers", []):
        asked = background(caller.get, path_of(answer), Prefer=LONG)
        hears(ear, id_of(answer))
        fail(claimed(id_of(answer)))
        assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"


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
    asked = background(caller.get, path_of(answer), Prefer=LONG)
    hears(ear, id_of(answer))
    with announcer.client(settings().broker_url) as redis:
        redis.client_kill_filter(_type="pubsub")
    until(lambda: not ear.hears(id_of(answer)) or None, patience=5)
    hears(ear, id_of(answer))
    fail(claimed(id_of(answer)))
    assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"


def test_a_broker_with_nothing_to_say_is_kept(caller: Caller, ear: Listener, background: Background) -> None:
    connecting = mock.patch("worker.listener.client", wraps=announcer.client)
    with mock.patch("worker.listener.PING_SECONDS", 0.05), connecting as connected:
        for _ in range(2):
            answer = caller.submit()
            asked = background(caller.get, path_of(answer), Prefer=LONG)
            hears(ear, id_of(answer))
            time.sleep(0.2)
            fail(claimed(id_of(answer)))
            assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"
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
            asked = background(caller.get, path_of(answer), Prefer=LONG)
            until(lambda: ear._failing)
        hears(ear, id_of(answer))
    fail(claimed(id_of(answer)))
    assert (asked.result(SOON_SECONDS).json or {})["status"] == "failed"
