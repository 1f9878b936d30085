"""Fallback: where it is wanted, the mock provider makes what a real one could not, marked and free of charge."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock
from uuid import UUID

import pytest
from sqlalchemy import update

from models import jobs
from models.database import moment, sessions
from models.jobs import Claim, Ending, Status
from models.ledger import Account, Reason
from models.providers import ProviderState
from tests.ai.shaky import Shaky, a_chat, run
from tests.jobs import work
from tests.ledger import books
from tests.ledger.books import Move, Sums
from web.jobs import render
from worker.ai.provider import Refused, Unavailable
from worker.gates import Gates

NewUser = Callable[..., tuple[UUID, int]]

DOWN = Unavailable("provider_timeout", "The provider did not answer in time.")


@pytest.fixture(autouse=True)
def wanted(shaky_settings: pytest.MonkeyPatch) -> None:
    shaky_settings.setenv("AI_FALLBACK", "mock")
    shaky_settings.setenv("RETRY_BASE_SECONDS", "0.001")


@pytest.fixture
def unwanted(shaky_settings: pytest.MonkeyPatch, wanted: None) -> None:
    shaky_settings.setenv("AI_FALLBACK", "none")


@pytest.mark.parametrize(
    "fault", [DOWN, Unavailable("provider_rate_limited", "Too many.")], ids=lambda fault: str(fault.code)
)
def test_after_the_last_attempt_the_mock_provider_makes_it_and_every_credit_goes_back(
    worker: Gates, new_user: NewUser, fault: Exception
) -> None:
    user, wallet = new_user(20)
    daily = books.lot(wallet, 15, ref="daily", hours=1)
    [bought, _] = books.lots(wallet)
    Shaky.fault = fault
    job = a_chat(user, price=30, attempts=2)
    assert run(job) is Status.queued, "there is an attempt left"
    assert not work.job(job).fallback
    work.set_back(job, "run_after", seconds=300)
    assert run(job) is Status.completed
    row = work.job(job)
    assert (row.fallback, row.error_code, row.attempt) == (True, None, 2)
    assert row.outputs
    assert row.outputs[0]["type"] == "analysis"
    assert work.cost(job) == (30, 0, 30)
    assert books.sums(wallet) == Sums(35, 0, 0)
    moves = books.moves(wallet, but=2)
    assert moves[:2] == [
        Move(Reason.hold, Account.available, Account.held, 15, daily, 20),
        Move(Reason.hold, Account.available, Account.held, 15, bought, 5),
    ]
    assert sorted((move.reason, move.source, move.target, move.amount, move.lot_id) for move in moves[2:]) == sorted(
        (Reason.release, Account.held, Account.available, 15, lot) for lot in (daily, bought)
    )
    with sessions() as session:
        attempts = [
            (each.number, each.ending, each.provider, each.error_code) for each in jobs.attempts_of(session, job)
        ]
    code = getattr(fault, "code", "")
    assert attempts == [(1, Ending.requeued, "shaky", code), (2, Ending.failed, "shaky", code)]
    shown = render(work.snapshot(job))
    assert (shown["fallback"], shown["cost"]["charged"], shown["error"]) == (True, 0, None)
    assert work.slots(user) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Refused("content_filtered", "No."),
        Refused("bad_answer", "?"),
        Unavailable("image_unavailable", "Gone."),
        OSError(),
    ],
    ids=repr,
)
def test_what_would_be_refused_again_or_is_our_own_fault_is_not_made_up_for(user: UUID, fault: Exception) -> None:
    Shaky.fault = fault
    job = a_chat(user)
    assert run(job) is Status.failed
    assert (work.job(job).fallback, work.cost(job)) == (False, (10, 0, 10))


def test_what_the_provider_makes_is_charged_and_not_marked(user: UUID) -> None:
    job = a_chat(user)
    assert run(job) is Status.completed
    assert (work.job(job).fallback, work.cost(job)) == (False, (10, 10, 0))
    assert render(work.snapshot(job))["fallback"] is False


def test_who_cannot_wait_for_the_provider_gets_the_mock_one_at_once(user: UUID, new_user: NewUser) -> None:
    Shaky.fault = DOWN
    assert [run(a_chat(user)) for _ in range(3)] == [Status.completed] * 3
    asked = len(Shaky.asked)
    hurried, wallet = new_user(10)
    job = a_chat(hurried, expires_in=5)
    assert run(job) is Status.completed
    assert (work.job(job).fallback, work.cost(job), books.sums(wallet)) == (True, (10, 0, 10), Sums(10, 0, 0))
    assert run(a_chat(user)) is Status.queued, "who can wait waits for the real one"
    assert len(Shaky.asked) == asked
    Shaky.fault = None
    with sessions() as session:
        session.execute(update(ProviderState).values(open_until=moment(session, plus=-1)))
    real = a_chat(user)
    assert (run(real), work.job(real).fallback) == (Status.completed, False)


def test_a_mock_provider_that_fails_as_well_changes_nothing(user: UUID) -> None:
    Shaky.fault = DOWN
    with mock.patch("worker.ai.mock.MockProvider.generate", side_effect=Unavailable("provider_error", "Too.")):
        job = a_chat(user)
        assert run(job) is Status.failed
    assert (work.job(job).error_code, work.cost(job)) == ("provider_timeout", (10, 0, 10))


def test_a_job_canceled_meanwhile_ends_as_canceled_and_costs_nothing(user: UUID) -> None:
    made: list[Claim] = [work.claim(a_chat(user))]
    work.once(jobs.request_cancel, user_id=user, job_id=made[0].job_id)
    given = {"outputs": work.OUTPUTS, "usage": work.USAGE, "fault": "provider_error"}
    assert work.once(jobs.complete_free, made[0], **given) is Ending.canceled  # type: ignore[arg-type]
    assert (work.job(made[0].job_id).fallback, work.cost(made[0].job_id)) == (False, (10, 0, 10))
    assert work.once(jobs.complete_free, made[0], **given) is Ending.stale  # type: ignore[arg-type]


@pytest.mark.usefixtures("unwanted")
def test_nobody_gets_it_who_did_not_ask_for_it(worker: Gates, new_user: NewUser) -> None:
    user, _ = new_user(10)
    Shaky.fault = DOWN
    job = a_chat(user)
    assert run(job) is Status.failed
    assert (work.job(job).error_code, work.job(job).fallback) == ("provider_timeout", False)
