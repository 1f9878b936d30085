"""Backup and restore: whatever a copy was taken in the middle of, a Coinop on it brings to its end, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update
from structlog.testing import capture_logs

import tasks.payments
from chaos import verdict
from config import settings
from models import jobs
from models.database import at_once, now, readings, sessions
from models.jobs import FINAL, Job, Status
from models.kinds import Kind
from models.payments.mock_objects import MockObject
from ops import backup
from tasks import generation, maintenance
from tests.accounts.people import id_of
from tests.databases import forget, in_use
from tests.http.conftest import Caller
from tests.jobs.work import OUTPUTS, USAGE, an_order
from tests.ops.copies import Restore, copied
from tests.payments import till
from tests.payments.hands import Hands
from tests.payments.shopping import begin, press_on
from web import tokens
from web.shelf import shelf

NewUser = Callable[..., tuple[UUID, int]]
CUSTOMERS, ORDERS = 4, 30
ROUNDS = 10


@contextmanager
def restored(restore: Restore) -> Iterator[None]:
    """Let the product of this process run on what is made of a copy."""
    url = restore()
    with in_use(url):
        _look_again()
        yield
    forget(url)
    _look_again()


def _look_again() -> None:
    """Have the front door forget what it keeps of a database."""
    shelf.look_again()
    tokens.look_again()


def test_a_copy_taken_under_load_ends_every_job_once_and_its_books_balance(
    database: str, app: Any, new_user: NewUser, tmp_path: Path
) -> None:
    users = [new_user(10_000)[0] for _ in range(CUSTOMERS)]
    in_the_middle = Barrier(CUSTOMERS + 1)
    with ThreadPoolExecutor(CUSTOMERS) as crowd:
        going = [crowd.submit(_order, user, in_the_middle) for user in users]
        in_the_middle.wait(30)
        restore = copied(database, tmp_path / "copy")
        for each in going:
            each.result(60)
    with restored(restore):
        before = _statuses()
        assert CUSTOMERS * ORDERS // 3 <= sum(before.values()) <= CUSTOMERS * ORDERS
        assert min(before[status] for status in (Status.queued, Status.running, Status.completed)) > 0
        assert app.test_client().get("/readyz").status_code == 200
        _work_off()
        after = _statuses()
        assert set(after) <= set(FINAL)
        assert sum(after.values()) == sum(before.values())
        assert after[Status.completed] > before[Status.completed]
        assert after[Status.failed] == before[Status.failed], "what a copy was in the middle of is no failure"
        with sessions() as session:
            assert list(verdict.books(session)) == []
        with sessions() as session:
            found = verdict.jobs_of(session)
            assert list(verdict.outcomes(session, found)) == []


def _order(user: UUID, in_the_middle: Barrier) -> None:
    """What a customer and a worker do; some jobs are left waiting, and some running, as at any moment."""
    for number in range(ORDERS):
        if number == ORDERS // 3:
            in_the_middle.wait(30)
        order = replace(an_order(user, price=3, at_once=10_000), kind=Kind.chat, input={"prompt": "Shall we meet?"})
        with sessions() as session:
            job_id = jobs.submit(session, order).job.id
        made = None
        if number % 5:
            with at_once() as sender:
                made = jobs.claim(sender, job_id, lease_seconds=600)
        if made is None or number % 5 == 1:
            continue
        with sessions() as session:
            if number % 5 == 2:
                jobs.fail(session, made, code="provider_refused", message="No.")
            else:
                jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=50 * (number % 2) + 50)


def _statuses() -> Counter[Status]:
    with readings() as session:
        rows = session.execute(select(Job.status, func.count()).group_by(Job.status)).all()
    return Counter({row[0]: row[1] for row in rows})


def _work_off() -> None:
    """What beat and workers do, in turn. Until a copy is restored, the leases in it are over."""
    with sessions() as session:
        session.execute(update(Job).where(Job.status == Status.running).values(lease_until=now(-1)))
    for _ in range(ROUNDS):
        maintenance.rescue.run()
        maintenance.call_waiting.run()
        with readings() as session:
            waiting = session.scalars(select(Job.id).where(Job.status == Status.queued)).all()
        for job_id in waiting:
            generation.run(str(job_id))
        if not waiting:
            return


def test_money_that_came_after_the_copy_becomes_credits_once(
    database: str, caller: Caller, hands: Hands, tmp_path: Path
) -> None:
    till.open_store()
    shelf.look_again()
    had = caller.balance()["available"]
    checkout = begin(caller, hands, pack="pro")
    restore = copied(database, tmp_path / "copy")
    press_on(hands, checkout, "pay")
    paid = had + 160
    assert caller.balance()["available"] == paid
    later = begin(caller, hands, pack="pro")
    press_on(hands, later, "pay")
    told, remembered = list(hands.posted), _gateway_remembers()
    with restored(restore):
        _let_gateway_remember(remembered)
        assert caller.balance()["available"] == had, "a token outlives the restore, a payment does not"
        with capture_logs() as lines:
            for _ in range(2):
                tasks.payments.reconcile.run()
                hands.work()
        assert caller.balance()["available"] == paid
        for body, headers in told:
            assert caller.client.post("/v1/webhooks/stripe", data=body, headers=headers).status_code == 200
        hands.work()
        assert caller.balance()["available"] == paid
        assert till.moves(id_of(caller))[-2:] == [("grant", 150), ("grant", 10)]
        till.books_are_clean()
    stray = {line["checkout_id"] for line in lines if line["event"] == "paid_without_checkout"}
    assert stray == {later}, "whose checkout came after the copy, has paid for what nobody knows of"


def _gateway_remembers() -> list[dict[str, Any]]:
    """All that the mock gateway keeps. It keeps it in our database, which Stripe does not."""
    with sessions() as session:
        rows = session.execute(select(*MockObject.__table__.c)).all()
    return [dict(row._mapping) for row in rows]


def _let_gateway_remember(rows: list[dict[str, Any]]) -> None:
    with sessions() as session:
        session.query(MockObject).delete()
        session.execute(insert(MockObject), rows)


def test_a_backup_has_the_files_and_is_for_its_owner(sqlite: str, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "job" / "0").mkdir(parents=True)
    (outputs / "job" / "0" / "0").write_bytes(b"a fox")
    chosen = settings().model_copy(update={"storage_url": outputs.as_uri()})
    made = backup.make(chosen, tmp_path / "copy")
    assert made.files == 1
    assert (tmp_path / "copy" / "outputs" / "job" / "0" / "0").read_bytes() == b"a fox"
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    assert (tmp_path / "copy" / backup.DATABASE).stat().st_mode & 0o077 == 0


def test_the_command_makes_one_and_never_writes_over_one(
    sqlite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    assert backup.main(str(folder)) == 0
    assert "has the database" in capsys.readouterr().out
    kept = (folder / backup.DATABASE).read_bytes()
    assert backup.main(str(folder)) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / backup.DATABASE).read_bytes() == kept


def test_postgresql_is_left_to_its_own_tools(postgresql: str, tmp_path: Path) -> None:
    with pytest.raises(backup.NoBackup, match="pg_dump"):
        backup.make(settings(), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    chosen = settings().model_copy(update={"database_url": f"sqlite:///{tmp_path}/none.sqlite3"})
    with pytest.raises(backup.NoBackup, match="there is no database"):
        backup.make(chosen, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
