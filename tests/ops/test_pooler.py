"""PgBouncer in transaction mode before PostgreSQL, by the file in deploy/; where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from config import ROOT, settings
from models import database as db
from models import jobs
from models.acting import acting_for
from models.audit import audit
from models.database import LOCK_TIMEOUT_MS, sessions
from models.jobs import Job
from ops.checks import data
from ops.embedded import START_SECONDS, free_port
from ops.findings import Verdict
from tasks import generation
from tests.audits import prove
from tests.databases import forget, in_use
from tests.http.conftest import PASSWORD
from tests.jobs import work
from web import tokens
from web.shelf import shelf

INI = (ROOT / "deploy" / "pgbouncer" / "pgbouncer.ini").read_text()
USERS, ORDERS = 6, 5

NewUser = Callable[..., tuple[UUID, int]]


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_PREPARE", "false")
    settings.cache_clear()
    yield
    monkeypatch.delenv("DATABASE_PREPARE")
    settings.cache_clear()


@pytest.fixture
def pooled(postgresql: str, unprepared: None) -> Iterator[str]:
    """The database as PgBouncer gives it, over fewer connections than there are clients."""
    with tempfile.TemporaryDirectory(prefix="coinop-pool-", dir=os.environ.get("COINOP_TEST_FOLDER")) as folder:
        port = free_port()
        behind = make_url(postgresql)
        ini = _changed(INI, behind.query["host"], behind.database or "", port, "connect_query")
        path = Path(folder) / "pgbouncer.ini"
        path.write_text(ini)
        Path(folder).chmod(0o755)
        # It refuses to run as root; and whoever owns the server's folder may go in there.
        owner = Path(str(behind.query["host"])).stat().st_uid if os.geteuid() == 0 else None
        process = subprocess.Popen(["pgbouncer", str(path)], stderr=subprocess.DEVNULL, user=owner)
        url = f"postgresql://postgres@127.0.0.1:{port}/coinop"
        try:
            _wait(url, process)
            with in_use(url):
                _look_again()
                yield url
            forget(url)
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            _look_again()


def _changed(ini: str, host: object, database: str, port: int, kept: str) -> str:
    changes = {
        r"host=127\.0\.0\.1 port=5432 dbname=coinop": f"host={host} port=5432 user=postgres dbname={database}",
        r"(?m)^listen_port = .*$": f"listen_port = {port}",
        r"(?m)^auth_type = .*$": "auth_type = any",
        r"(?m)^auth_file = .*$": "",
        r"(?m)^default_pool_size = .*$": "default_pool_size = 3",
    }
    for pattern, now in changes.items():
        ini, found = re.subn(pattern, now, ini)
        assert found == 1, pattern
    assert kept in ini
    return ini


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _look_again() -> None:
    shelf.look_again()
    tokens.look_again()


@pytest.mark.skipif(not shutil.which("pgbouncer"), reason="this machine has no PgBouncer")
def test_many_at_once_through_few_connections(pooled: str, app: Any) -> None:
    """Sign up, order, run, poll and cancel, each user in a thread; and nobody sees what is another's."""
    with ThreadPoolExecutor(USERS) as crowd:
        users = list(crowd.map(lambda _: _one_life(app), range(USERS)))
    prove(audit)
    assert all(len(seen) == ORDERS for seen, _ in users)
    assert len({job for seen, _ in users for job in seen}) == USERS * ORDERS, "each saw their own, and no other"
    for _, user in users:
        with acting_for(user), sessions() as session:
            assert session.query(Job).count() == ORDERS, "the wall holds in the transaction that it was told in"
    with sessions() as session:
        assert session.execute(text("SELECT current_user")).scalar_one() == "postgres", "and is gone after it"
        assert session.query(Job).count() == USERS * ORDERS
        assert session.execute(text("SHOW lock_timeout")).scalar_one() == f"{LOCK_TIMEOUT_MS // 1000}s"
    assert [each.verdict for each in data.database(settings())] == [Verdict.ok]


def _one_life(app: Any) -> tuple[list[str], UUID]:
    client = app.test_client()
    body = {"email": f"{os.urandom(8).hex()}@example.com", "password": PASSWORD}
    answer = client.post("/v1/auth/signup", json=body).json
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    for _ in range(ORDERS):
        order = {"action": "chat", "input": {"prompt": "Shall we meet?"}}
        job = client.post("/v1/jobs", json=order, headers=headers).json
        generation.run.run(job["id"])  # not as a task: Celery sets tasks up in one thread
        assert client.get(f"/v1/jobs/{job['id']}", headers=headers).json["status"] == "completed"
    return [each["id"] for each in client.get("/v1/jobs", headers=headers).json["jobs"]], UUID(answer["user"]["id"])


def test_nothing_is_prepared_where_it_must_not_be(postgresql: str, unprepared: None, new_user: NewUser) -> None:
    """On a connection of the server that others have next, a statement would be there twice, or not at all."""
    with in_use(f"{postgresql}&application_name=unprepared") as url:
        user, _ = new_user(100)
        for _ in range(3):
            made = work.running(user)
            work.complete(made)
            assert jobs.read(user_id=user, job_id=made.job_id).status == "completed"
            with acting_for(user), sessions() as session:
                session.query(Job).all()
                assert session.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
    forget(url)


def test_a_pooler_that_sets_no_patience_is_told_by_the_doctor(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOCK_TIMEOUT_MS", 0)
    with in_use(f"{postgresql}&application_name=patient") as url:
        [found] = data.database(settings())
    forget(url)
    assert found.verdict is Verdict.warn
    assert "waits for a lock for ever" in found.what
