"""The baselines: what a developer in a hurry would write with the same libraries, and nothing of what we promise.

No token, no validation, no idempotency, no outbox: a view with three raw statements and a publish, a view with one
select, a task that does nothing. `gunicorn bench.bare:app` and `celery -A bench.bare:celery` serve it.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any
from uuid import uuid4

import psycopg
from celery import Celery
from flask import Flask, Response, jsonify, request

TABLES = """
    CREATE TABLE balances (user_id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE jobs (
        id uuid PRIMARY KEY, user_id bigint NOT NULL, action text NOT NULL, status text NOT NULL, price bigint NOT NULL,
        input jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
    );
    CREATE TABLE ledger (
        id bigserial PRIMARY KEY, user_id bigint NOT NULL, job_id uuid NOT NULL, amount bigint NOT NULL,
        balance_after bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
    );
"""

app = Flask(__name__)
celery = Celery("bare")
celery.config_from_object("celeryconfig")
celery.conf.imports = ()
_threads = threading.local()


@celery.task(name="bare.nothing")  # type: ignore[untyped-decorator]  # Celery has no types
def nothing(job_id: str) -> None:
    """Do nothing with a job."""


@app.post("/jobs")
def submit() -> tuple[Response, int]:
    """Take the price, store the job and the movement, publish."""
    body: Any = request.get_json()
    job_id = uuid4()
    connection = _connection()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances SET balance = balance - 5 WHERE user_id = %s AND balance >= 5 RETURNING balance",
            (body["user_id"],),
        )
        row = cursor.fetchone()
        if row is None:
            return jsonify(error="short of credits"), 402
        cursor.execute(
            "INSERT INTO jobs (id, user_id, action, status, price, input) VALUES (%s, %s, %s, 'queued', 5, %s)",
            (job_id, body["user_id"], body["action"], json.dumps(body["input"])),
        )
        cursor.execute(
            "INSERT INTO ledger (user_id, job_id, amount, balance_after) VALUES (%s, %s, -5, %s)",
            (body["user_id"], job_id, row[0]),
        )
    nothing.apply_async((str(job_id),), task_id=str(job_id), queue="generation")
    return jsonify(id=str(job_id), status="queued"), 202


@app.get("/jobs/<job_id>")
def show(job_id: str) -> Response:
    """One job by its id, whoever asks."""
    with _connection().cursor() as cursor:
        cursor.execute(
            "SELECT id, user_id, action, status, price, created_at, finished_at FROM jobs WHERE id = %s", (job_id,)
        )
        row = cursor.fetchone()
    if row is None:
        return Response(status=404)
    return jsonify(
        id=str(row[0]), object="job", user_id=row[1], action=row[2], status=row[3], price=row[4],
        created_at=row[5].isoformat(), finished_at=row[6] and row[6].isoformat(),
    )  # fmt: skip


@app.post("/webhooks")
def hear() -> Response:
    """Read what somebody says, whoever it is, and forget it."""
    request.get_data()
    return jsonify(received=True)


@app.get("/readyz")
def ready() -> dict[str, str]:
    """For the one who starts it."""
    return {"status": "ready"}


def _connection() -> psycopg.Connection[Any]:
    """The connection of this thread, opened on first use."""
    if not hasattr(_threads, "connection"):
        _threads.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection: psycopg.Connection[Any] = _threads.connection
    return connection
