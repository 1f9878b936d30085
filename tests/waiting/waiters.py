"""What tests of waiting do: ask in a thread of its own, and see that somebody waits and is heard."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

from werkzeug.test import TestResponse

from models import jobs
from models.database import sessions
from models.jobs import Claim
from tests.http.conftest import Caller
from tests.system.house import until
from web.waiting import Places
from worker.listener import Listener

LONG = "wait=20"
SOON_SECONDS = 15.0
"""An answer before that was woken: whoever is not is answered when the wait is over."""

AN_HOUR = 3600.0

Background = Callable[..., "Future[TestResponse]"]


def id_of(answer: TestResponse) -> UUID:
    return UUID((answer.json or {})["id"])


def path_of(answer: TestResponse) -> str:
    path: str = (answer.json or {})["urls"]["get"]
    return path


def claimed(job_id: UUID) -> Claim:
    with sessions() as session:
        claim = jobs.claim(session, job_id, lease_seconds=30)
    assert claim is not None
    return claim


def fail(claim: Claim) -> None:
    with sessions() as session:
        jobs.fail(session, claim, code="provider_refused", message="no")


def waits(seats: Places, number: int = 1) -> None:
    until(lambda: len(seats._taken) == number)


def hears(ear: Listener, job_id: UUID) -> None:
    until(lambda: ear.hears(job_id))


def newest(caller: Caller) -> UUID:
    return until(lambda: UUID(found[0]["id"]) if (found := (caller.get("/v1/jobs").json or {})["jobs"]) else None)
