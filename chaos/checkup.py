"""The check-up after the storm: what survived still does its work, all of it.

Processes can be alive and yet deaf: a worker that does not consume since it reconnected, a front door whose relay
thread has ended. Other processes cover for them, so the storm's own jobs end all the same, only late.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from celery import Celery

from chaos.plan import GENERATION

JOBS = 60
LATEST_SECONDS = 8.0
"""By when each job must have ended. A message that its relay does not publish at once waits ten seconds for a sweep."""


def check_up(port: int, tokens: Sequence[str], broker_url: str, host: str, *, key: str) -> Iterator[str]:
    """Run some jobs of all customers in calm; say which workers took none, and which jobs were late."""
    names = [f"{worker}@{host}" for worker in GENERATION]
    app = Celery(broker=broker_url, set_as_current=False)
    before = _taken(app, names)
    began: dict[str, tuple[str, float]] = {}
    for number in range(JOBS):
        token = tokens[number % len(tokens)]
        body = {"action": "chat", "input": {"prompt": "Are you well? [mock:latency=0.5]"}}
        job = _ask(port, token, "POST", "/v1/jobs", body, {"Idempotency-Key": f"{key}-{number}"})
        if "id" in job:
            began[job["id"]] = token, time.monotonic()
        else:
            yield f"after the storm: job {number} was refused: {job.get('detail')}"
    for job_id, (token, since) in began.items():
        status = ""
        while status != "completed" and time.monotonic() < since + LATEST_SECONDS:
            time.sleep(0.05)
            status = _ask(port, token, "GET", f"/v1/jobs/{job_id}")["status"]
        if status != "completed":
            yield f"after the storm: job {job_id} is {status or 'not looked at'} after {LATEST_SECONDS:g} s"
    after = _taken(app, names)
    for name in names:
        if name not in before or name not in after:
            yield f"after the storm: {name} does not answer"
        elif after[name] <= before[name]:
            yield f"after the storm: {name} took none of {JOBS} jobs"


def _taken(app: Celery, names: list[str]) -> dict[str, int]:
    """How many jobs each worker has taken since it started."""
    for _ in range(3):
        stats = app.control.inspect(destination=names, timeout=2).stats() or {}
        if len(stats) == len(names):
            break
    return {name: sum(figures["total"].values()) for name, figures in stats.items()}


def _ask(
    port: int, token: str, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """One request on a connection of its own, so that every process of the front door gets some."""
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer
