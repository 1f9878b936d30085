"""Jobs that made files, without a worker: and what is left of them."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import update

from models import jobs
from models.database import at_once, moment, sessions
from models.jobs import Claim, Job
from tests.http.conftest import Caller
from worker.ai.outputs import store
from worker.ai.provider import Artefact, Output, Text
from worker.storage import storage

PICTURE = b"\x89PNG" + bytes(range(256)) * 4
SHA256 = hashlib.sha256(PICTURE).hexdigest()
PNG = Artefact("image/png", PICTURE)


def claimed(caller: Caller) -> Claim:
    """A new job of the caller that runs now."""
    made = caller.submit(action="image")
    assert made.status_code == 202, made.json
    return claim(UUID((made.json or {})["id"]))


def claim(job_id: UUID) -> Claim:
    with at_once() as session:
        held = jobs.claim(session, job_id, lease_seconds=30)
    assert held is not None
    return held


def made(caller: Caller, *outputs: Output) -> dict[str, Any]:
    """A job of the caller that is completed, with these outputs or a picture, as the front door shows it."""
    held = claimed(caller)
    done(held, *outputs)
    return shown(caller, held.job_id)


def done(held: Claim, *outputs: Output) -> None:
    described = store(held, outputs or (PNG,))
    with sessions() as session:
        jobs.complete(session, held, outputs=described, usage={}, delivered_percent=100)


def shown(caller: Caller, job_id: UUID | str) -> dict[str, Any]:
    answer = caller.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.json
    return answer.json or {}


def let_end(job_id: UUID | str, *, days: float) -> None:
    """Let a job have ended so many days ago."""
    with sessions() as session:
        then = moment(session, plus=-days * 86_400)
        found = session.execute(update(Job).values(finished_at=then).where(Job.id == UUID(str(job_id))))
        assert found.rowcount == 1  # type: ignore[attr-defined]


def left() -> set[str]:
    """The keys of all files there are."""
    return set(storage().older_than(None, seconds=-3600))


WORDS = Text("a fox, red")
