"""Margins: what each action charged, what its buyers had paid for that, and what it cost, to the unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask

from models import jobs
from models.database import sessions
from models.jobs import Effort
from models.margins import Margin, margins, plan_income
from models.payments.facts import DisputeStatus
from tests.jobs import work
from tests.payments import till

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")

FREE, CHEAP, DEAR = Effort(cost_micros=0), Effort("openai", cost_micros=1_500), Effort("openai", cost_micros=2_000_000)


def buyer(pack: str = "pro") -> UUID:
    """Who paid 24.99 € for 150 credits and a bonus of 10; or 300 yen for 30 credits."""
    store = till.open_store()
    user = till.customer(store)
    about = {} if pack == "pro" else {"amount": 300, "currency": "JPY"}
    till.tell(till.paid_page(till.begin(store, user, pack=pack), intent=f"pi_{user.hex}", **about))
    return user


def done(user: UUID, price: int, *, action: str = "image", effort: Effort = FREE, percent: int = 100) -> UUID:
    order = replace(work.an_order(user, price=price), action=action)
    work.submit(order)
    work.once(
        jobs.complete, work.claim(order.id), outputs=work.OUTPUTS, usage=work.USAGE, delivered_percent=percent,
        effort=effort,
    )  # fmt: skip
    return order.id


def found(**span: object) -> list[Margin]:
    with sessions() as session:
        return margins(session, **span)  # type: ignore[arg-type]


def of(action: str) -> Margin:
    return next(each for each in found() if each.action == action)


def test_each_action_has_its_credits_its_money_and_its_cost(new_user: NewUser) -> None:
    euro, yen = buyer(), buyer("quick")
    given, _ = new_user(100)
    done(euro, 40, effort=CHEAP)
    done(euro, 16, action="chat", effort=CHEAP)
    done(yen, 10, effort=DEAR)
    done(given, 7, effort=CHEAP)
    work.once(jobs.fail, work.running(given, price=9), code="bad_answer", message="", effort=CHEAP)
    work.submitted(given, price=3)  # has not ended, so it is in no line
    assert found() == [
        # 16 of 160 credits for 2499 cents, rounded down.
        Margin("chat", "credits", 1, 16, 16, {"EUR": 249}, attempts=1, unknown=0, cost_micros=1_500),
        # 40 of these, 10 of 30 credits for 300 yen, and 7 that nobody paid for.
        Margin("image", "credits", 4, 57, 50, {"EUR": 624, "JPY": 100}, attempts=4, unknown=0, cost_micros=2_004_500),
    ]


def test_fractions_of_a_cent_are_added_before_they_are_dropped() -> None:
    user = buyer()
    for _ in range(4):
        done(user, 1)
    # One credit is worth 15.61875 cents.
    assert of("image").worth == {"EUR": 62}


def test_every_attempt_counts_and_one_that_nobody_knows_is_no_zero() -> None:
    user = buyer()
    first = work.running(user, price=10)
    work.lose(first)
    work.once(jobs.rescue_silent, base_seconds=1)
    second = work.claim(first.job_id)
    work.once(jobs.retry, second, code="busy", message="", base_seconds=1, effort=CHEAP)
    work.set_back(first.job_id, "run_after")
    assert found() == [], "until the job has ended"
    third = work.claim(first.job_id)
    work.once(jobs.complete, third, outputs=[], usage={}, delivered_percent=100, effort=DEAR)
    assert of("image") == Margin("image", "credits", 1, 10, 10, {"EUR": 156}, 3, 1, 2_001_500)
    work.once(jobs.fail, first, code="late", message="", effort=CHEAP)
    assert of("image") == Margin("image", "credits", 1, 10, 10, {"EUR": 156}, 3, 0, 2_003_000)


def test_what_was_charged_counts_and_not_what_was_held() -> None:
    done(buyer(), 40, percent=50)
    row = of("image")
    assert (row.charged, row.bought, row.worth) == (20, 20, {"EUR": 312})


def test_money_that_went_back_is_not_worth_anything() -> None:
    user = buyer()
    intent = f"pi_{user.hex}"
    done(user, 80)
    assert of("image").worth == {"EUR": 1249}
    till.tell(till.refunded(1249, intent=intent))
    # 1250 cents are left, for the 160 credits but the 74 that went back; 80 of them were charged.
    assert of("image").worth == {"EUR": 80 * 1250 // 86}
    till.tell(till.disputed(1000, intent=intent))
    left = of("image").worth["EUR"]
    assert left < 80 * 1250 // 86
    till.tell(till.disputed(1000, DisputeStatus.won, intent=intent))
    assert of("image").worth == {"EUR": 80 * 1250 // 86}
    till.tell(till.refunded(1250, id="re_2", intent=intent))
    assert (of("image").worth, of("image").bought) == ({"EUR": 0}, 80)


def test_a_span_of_time_is_by_when_jobs_ended_and_its_end_is_not_in_it() -> None:
    user = buyer()
    old, new = done(user, 10, effort=CHEAP), done(user, 20, effort=DEAR)
    work.set_back(old, "finished_at", seconds=7200)
    then = work.job(old).finished_at
    assert then is not None
    later = then + timedelta(hours=1)
    assert [each.charged for each in found()] == [30]
    assert [(each.charged, each.cost_micros) for each in found(until=later)] == [(10, 1_500)]
    assert [(each.charged, each.cost_micros) for each in found(since=later)] == [(20, 2_000_000)]
    assert [each.charged for each in found(since=then)] == [30]
    assert found(until=then) == []
    assert work.job(new).finished_at is not None


def test_credits_of_a_plan_bring_nothing_by_themselves() -> None:
    store = till.open_store()
    user = till.customer(store)
    subscription = till.billed(user)
    till.tell(subscription, till.paid(subscription))
    done(user, 100)
    row = of("image")
    assert (row.charged, row.bought, row.worth) == (100, 0, {})
    yesterday = till.now() - timedelta(days=1)
    with sessions() as session:
        assert plan_income(session) == {"EUR": 1500}
        assert plan_income(session, until=yesterday) == {}
    till.tell(till.refunded(500, intent="pi_in_1"))
    with sessions() as session:
        assert plan_income(session) == {"EUR": 1000}


def test_the_command_shows_it(app: Flask) -> None:
    user = buyer()
    done(user, 40, effort=DEAR)
    store = till.open_store()
    subscriber = till.customer(store)
    subscription = till.billed(subscriber)
    till.tell(subscription, till.paid(subscription))
    run = app.test_cli_runner().invoke
    shown = run(args=["margins"])
    assert shown.exit_code == 0, shown.output
    heads, line, plans = shown.output.splitlines()
    assert heads.split("  ")[0] == "action"
    assert line.split() == ["image", "1", "40", "credits", "40", "6.24", "EUR", "2.000000", "USD", "0", "of", "1"]
    assert plans == "Plans brought 15.00 EUR, which is in none of the lines above."
    early = run(args=["margins", "--until", "2001-01-01"])
    assert early.output.splitlines()[0].split()[0] == "action"
    assert len(early.output.splitlines()) == 1
    assert run(args=["margins", "--since", "yesterday"]).exit_code == 2
