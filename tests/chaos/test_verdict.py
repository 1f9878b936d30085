"""The verdict finds what it is there to find: each test breaks one thing and reads the sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from chaos import verdict
from chaos.house import Outage
from chaos.load import Call, Ending, Records
from chaos.plan import Order
from config import settings
from models import jobs, outbox
from models.catalog import load, read_preset
from models.database import sessions
from models.jobs import Job, JobSlots, Status
from models.ledger import Account, Reason, Transfer, Wallet
from models.outbox import Outbox
from models.plans import NOTHING
from models.quotes import quote

GRANTED = 100
NOWHERE = Path("nowhere")


@pytest.fixture
def accepted(database: str, new_user: Callable[..., tuple[UUID, int]]) -> UUID:
    """A job that was accepted, of a customer who had 100 credits."""
    user_id, _ = new_user(GRANTED)
    with sessions() as session:
        load(session, catalog := read_preset(settings().preset))
        asked = quote(catalog, NOTHING, action="chat", raw_input={"prompt": "hello"})
        order = jobs.order(catalog, asked, user_id=user_id, max_attempts=3, idempotency_key="key")
        job_id = jobs.submit(session, order).job.id
        outbox.published(session, list(session.scalars(select(Outbox.id))))
    return job_id


@pytest.fixture
def completed(accepted: UUID) -> UUID:
    """The same job, completed and charged."""
    with sessions() as session:
        claim = jobs.claim(session, accepted, lease_seconds=30)
        assert claim is not None
        output = {"type": "text", "text": "hi", "suggestions": []}
        jobs.complete(session, claim, outputs=[output], usage={}, delivered_percent=100)
    return accepted


def breaches_of_the_books() -> list[str]:
    with sessions() as session:
        facts = verdict.jobs_of(session)
        return [
            *verdict.unfinished(facts),
            *verdict.outcomes(session, facts),
            *verdict.leftovers(session),
            *verdict.balances(session, facts, granted=GRANTED),
        ]


def facts() -> verdict.Facts:
    with sessions() as session:
        return verdict.jobs_of(session)


def order(*marks: str, **changes: Any) -> Order:
    first = Order(0, 0, 0.0, "chat", {"prompt": "hello"}, frozenset(marks), None, None, False, "key")
    return replace(first, **changes)


def records(job_id: UUID, **more: Any) -> Records:
    return Records(receipts={0: job_id}, accepted={0: 1}, **more)


# -- the database alone


def test_a_job_that_ended_well_is_no_breach(completed: UUID) -> None:
    assert breaches_of_the_books() == []
    with sessions() as session:
        assert list(verdict.books(session)) == []


def test_a_job_left_queued_is_found(accepted: UUID) -> None:
    assert f"job {accepted} is still queued (attempt 0 of 3)" in breaches_of_the_books()


def test_a_job_left_running_is_found_with_all_it_keeps(accepted: UUID) -> None:
    with sessions() as session:
        jobs.claim(session, accepted, lease_seconds=30)
    found = " / ".join(breaches_of_the_books())
    assert f"job {accepted} is still running (attempt 1 of 3)" in found
    assert "still has 1 slots taken" in found
    assert "still has 5 credits held" in found


def test_a_second_settlement_is_found(completed: UUID) -> None:
    _forge(completed, Account.held, Account.spent, Reason.settle)
    found = " / ".join(breaches_of_the_books())
    assert f"job {completed} moved 5 to held, but 10 to spent and 0 back" in found
    assert f"job {completed} has the same outcome twice for one lot" in found


def test_a_charge_and_a_refund_of_one_job_is_found(completed: UUID) -> None:
    _forge(completed, Account.held, Account.available, Reason.release)
    assert f"job {completed} moved 5 to held, but 5 to spent and 5 back" in breaches_of_the_books()


def test_a_charge_that_the_transfers_do_not_bear_out_is_found(completed: UUID) -> None:
    with sessions() as session:
        session.execute(update(Job).values(charged=0, refunded=5))
    assert f"job {completed} says held 5, charged 0, refunded 5; its transfers say 5, 5, 0" in breaches_of_the_books()


def test_transfers_of_no_job_are_found(completed: UUID) -> None:
    stray = uuid4()
    _forge(completed, Account.available, Account.held, Reason.hold, under=stray)
    assert f"transfers name job {stray}, which does not exist" in breaches_of_the_books()


def test_credits_from_nowhere_are_found(completed: UUID) -> None:
    with sessions() as session:
        session.execute(update(Wallet).values(available=Wallet.available + 1))
    assert "100 credits were granted and 5 charged, but 96 are left" in breaches_of_the_books()


def test_a_message_that_was_never_sent_is_found(completed: UUID) -> None:
    with sessions() as session:
        outbox.stage(session, outbox.message(task="t", queue="email", args=[], task_id="t"))
    assert breaches_of_the_books() == ["1 messages are still in the outbox"]


def test_a_slot_that_was_never_freed_is_found(completed: UUID) -> None:
    with sessions() as session:
        session.execute(update(JobSlots).values(taken=1))
    with sessions() as session:
        assert any("slots" in finding for finding in verdict.books(session))
    assert any("still has 1 slots taken" in breach for breach in breaches_of_the_books())


# -- the customers


def test_a_kept_promise_is_no_breach(completed: UUID) -> None:
    seen = {completed: Ending("completed", 5, 0)}
    assert list(verdict.receipts(facts(), [order()], records(completed, endings=seen))) == []
    assert list(verdict.endings(facts(), [order()], records(completed), NOWHERE)) == []


def test_an_accepted_job_that_does_not_exist_is_found(completed: UUID) -> None:
    lost = uuid4()
    assert list(verdict.receipts(facts(), [order()], records(lost))) == [
        f"order 0 was accepted as job {lost}, which does not exist"
    ]


def test_an_order_that_was_never_accepted_is_found(completed: UUID) -> None:
    found = list(verdict.receipts(facts(), [order(), order(number=1, key="other")], records(completed)))
    assert found == ["order 1 was never accepted"]


def test_one_key_with_two_jobs_is_found(completed: UUID) -> None:
    both = {completed: facts()[completed], uuid4(): facts()[completed]}
    assert "order 0 became 2 jobs" in list(verdict.receipts(both, [order()], records(completed)))


def test_a_job_that_nobody_ordered_is_found(completed: UUID) -> None:
    found = list(verdict.receipts(facts(), [order(key="other")], records(completed)))
    assert f"job {completed} was never ordered" in found
    assert f"order 0 was told of job {completed}, which is another order's" in found


def test_an_outcome_that_changed_after_its_customer_saw_it_is_found(completed: UUID) -> None:
    seen = {completed: Ending("failed", 0, 5)}
    assert list(verdict.receipts(facts(), [order()], records(completed, endings=seen))) == [
        f"job {completed} was seen failed (charged 0, refunded 5), and is completed (charged 5, refunded 0)"
    ]


def test_an_ending_that_the_script_does_not_allow_is_found(completed: UUID) -> None:
    assert list(verdict.endings(facts(), [order("fail")], records(completed), NOWHERE)) == [
        f"job {completed} (fail) ended as completed"
    ]


def test_a_wrong_price_is_found(completed: UUID) -> None:
    assert list(verdict.endings(facts(), [order("underrun")], records(completed), NOWHERE)) == [
        f"job {completed} is completed and was charged 5 instead of 2"
    ]


@pytest.mark.parametrize(("ending", "changes"), [("canceled", {"cancel_after": 1.0}), ("expired", {"expires_in": 5})])
def test_only_who_asked_for_it_may_get_it(ending: str, changes: dict[str, Any]) -> None:
    job = _job(status=Status(ending), charged=0)
    assert list(verdict.endings({job.id: job}, [order(**changes)], records(job.id), NOWHERE)) == []
    assert list(verdict.endings({job.id: job}, [order()], records(job.id), NOWHERE)) == [
        f"job {job.id} (plain) ended as {ending}"
    ]


def test_a_charge_without_a_result_is_found(tmp_path: Path) -> None:
    job = _job(outputs=None)
    found = list(verdict.endings({job.id: job}, [order()], records(job.id), tmp_path))
    assert found == [f"job {job.id} is completed without a result"]


def test_half_a_file_is_found(tmp_path: Path) -> None:
    job = _job(outputs=[{"type": "file", "key": "whole", "size": 4}, {"type": "file", "key": "half", "size": 4}])
    (tmp_path / "whole").write_bytes(b"1234")
    (tmp_path / "half").write_bytes(b"12")
    found = list(verdict.endings({job.id: job}, [order()], records(job.id), tmp_path))
    assert found == [f"job {job.id} is completed, but half is not whole"]


# -- the requests


def call(status: int | None, start: float = 10.0, end: float = 10.5, **changes: Any) -> Call:
    return replace(Call("submit", start, start, end, status), **changes)


def test_an_answer_is_no_breach() -> None:
    assert list(verdict.calls([call(202), call(409), call(304)], [], 0)) == []


def test_an_error_with_nothing_to_excuse_it_is_found() -> None:
    assert list(verdict.calls([call(500, code="internal_error")], [], 0)) == [
        "a submit got 500 internal_error after 0.50 s, and what was wrong at that time was: nothing"
    ]


def test_a_dead_broker_excuses_nothing() -> None:
    broker = [Outage("broker", "killed", 9.0, 12.0), Outage("broker", "frozen", 9.0, 12.0)]
    assert len(list(verdict.calls([call(503), call(None, fault="timeout")], broker, 0))) == 2


@pytest.mark.parametrize(
    "outage",
    [
        Outage("web", "killed", 9.0, 12.0),
        Outage("web", "killed", 10.2, None),
        Outage("web", "lost a part", 8.0, 8.5),
        Outage("generation-1", "frozen", 9.0, 12.0),
    ],
)
def test_the_front_door_and_frozen_locks_excuse_errors(outage: Outage) -> None:
    assert list(verdict.calls([call(None, fault="timeout")], [outage], 0)) == []


def test_an_outage_long_over_excuses_nothing_on_a_fresh_connection() -> None:
    outage = Outage("web", "killed", 1.0, 2.0)
    assert len(list(verdict.calls([call(None, fault="RemoteDisconnected")], [outage], 0))) == 1
    assert list(verdict.calls([call(None, fault="RemoteDisconnected", since=0.5)], [outage], 0)) == []


def test_each_cut_database_connection_excuses_one_503() -> None:
    broken = call(503, code="database_unavailable")
    assert list(verdict.calls([broken], [], 1)) == []
    assert len(list(verdict.calls([broken, broken], [], 1))) == 1


def test_accepting_late_because_of_the_broker_is_found() -> None:
    slow = call(202, end=17.0)
    broker = Outage("broker", "frozen", 9.0, 20.0)
    assert list(verdict.calls([slow], [broker], 0)) == [
        "a job was accepted only after 7.00 s while the broker alone was away"
    ]
    assert list(verdict.calls([slow], [broker, Outage("web", "frozen", 11.0, 16.0)], 0)) == []


def test_a_long_list_is_cut() -> None:
    found = verdict.few(f"breach {number}" for number in range(25))
    assert len(found) == verdict.MOST_PER_CHECK + 1
    assert found[-1] == "… and 5 more like this"


def _job(**changes: Any) -> Any:
    job = SimpleNamespace(
        id=uuid4(), status=Status.completed, held=5, charged=5, attempt=1, max_attempts=3,
        outputs=[{"type": "text", "text": "hi", "suggestions": []}],
    )  # fmt: skip
    vars(job).update(changes)
    return job


def _forge(job_id: UUID, source: Account, target: Account, reason: Reason, *, under: UUID | None = None) -> None:
    """Write a transfer that no verb would."""
    with sessions() as session:
        hold = session.scalars(select(Transfer).where(Transfer.job_id == job_id, Transfer.reason == Reason.hold)).one()
        values = {
            "wallet_id": hold.wallet_id, "lot_id": hold.lot_id, "amount": hold.amount, "source": source,
            "target": target, "reason": reason, "ref": "forged", "balance_after": 0, "job_id": under or job_id,
        }  # fmt: skip
        session.execute(insert(Transfer).values(**values))
