"""Plans that are paid for: features follow the subscription, credits follow paid invoices, each cycle's once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from math import ceil
from uuid import UUID

import pytest
from sqlalchemy import select

from models import catalog, plans
from models.catalog import Billing, Period
from models.database import sessions
from models.payments import billing, checkouts, errands
from models.payments.errands import Errand, ErrandKind
from models.payments.facts import Fact, InvoiceLine, InvoiceStatus, SubscriptionFact, SubscriptionStatus
from models.payments.following import follow
from models.payments.tables import Checkout
from tests.jobs.work import once
from tests.payments import till
from tests.plans import shop
from tests.plans.clock import Clock

MONTH = timedelta(days=30)


@pytest.fixture
def user(database: str) -> UUID:
    return till.customer(till.open_store())


def test_features_come_with_the_subscription_and_credits_with_its_invoice(user: UUID) -> None:
    subscription = till.billed(user)
    till.tell(subscription)
    assert shop.plan_of(user) == "basic"
    assert till.moves(user) == [], "nobody has paid yet"
    till.tell(till.paid(subscription))
    assert till.moves(user) == [("grant", 500)]
    assert till.mail(user) == ["receipt"]
    till.books_are_clean()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_in_any_order_the_end_is_the_same(user: UUID, order: tuple[int, ...]) -> None:
    subscription = till.billed(user)
    facts: list[Fact] = [subscription, till.paid(subscription), replace(subscription, latest_invoice_id="in_1")]
    for each in [*(facts[number] for number in order), *facts]:
        once(follow, each)  # an invoice of a subscription that is not known yet waits
    assert shop.plan_of(user) == "basic"
    assert till.moves(user) == [("grant", 500)]


def test_an_invoice_before_its_subscription_is_put_off(user: UUID) -> None:
    assert not once(follow, till.paid(till.billed(user)))


def test_a_renewal_gives_the_next_cycle_and_takes_back_what_was_left(clock: Clock) -> None:
    user = till.customer(till.open_store())
    first = till.billed(user)
    till.tell(first, till.paid(first))
    clock.set(first.period_ends_at + timedelta(minutes=2))
    once(plans.grant_due, user_id=user)
    assert till.moves(user) == [("grant", 500), ("expire", -500)], "the next cycle is not paid for yet"
    second = _next(first)
    till.tell(second, till.paid(second, "in_2", reason="subscription_cycle"))
    assert till.moves(user) == [("grant", 500), ("expire", -500), ("grant", 500)]
    assert till.mail(user) == ["receipt", "renewal"]
    till.books_are_clean()


def test_a_plan_paid_by_the_year_drips_month_by_month(clock: Clock) -> None:
    user = till.customer(till.open_store())
    began = till.now()
    yearly = till.billed(user, billing=Billing.yearly, began=began, period_ends_at=plans.months_after(began, 12))
    till.tell(yearly, till.paid(yearly))
    for month in range(1, 14):
        clock.set(plans.months_after(began, month) + timedelta(minutes=1))
        once(plans.grant_due, user_id=user)
    assert [amount for reason, amount in till.moves(user) if reason == "grant"] == [500] * 12


def test_an_upgrade_grants_the_difference_for_the_rest_of_the_cycle_once(clock: Clock) -> None:
    user = till.customer(till.open_store())
    began = till.now()
    basic = till.billed(user, began=began, period_ends_at=plans.months_after(began, 1))
    till.tell(basic, till.paid(basic))
    clock.move(days=10)
    till.spend(user, 450)
    premium = replace(basic, plan="premium")
    till.tell(premium)
    length = plans.months_after(began, 1) - began
    share = (length - timedelta(days=10)) / length
    [grant, spend, difference] = till.moves(user)
    assert (grant, spend) == (("grant", 500), ("spend", -450))
    assert difference[0] == "grant"
    assert difference[1] in (ceil(700 * share), ceil(700 * share) - 1), "the clock goes on while the test runs"
    assert shop.plan_of(user) == "premium"
    clock.set(plans.months_after(began, 1) + timedelta(minutes=1))
    following = replace(premium, period_starts_at=basic.period_ends_at, period_ends_at=plans.months_after(began, 2))
    till.tell(following, till.paid(following, "in_2"))
    assert till.moves(user)[-1] == ("grant", 1200)
    till.books_are_clean()


def test_a_downgrade_waits_for_the_period_to_end(clock: Clock) -> None:
    user = till.customer(till.open_store())
    premium = till.billed(user, "premium")
    till.tell(premium, till.paid(premium))
    basic = replace(premium, plan="basic")
    till.tell(basic)
    assert shop.plan_of(user) == "premium"
    assert _row(user).next_plan == "basic"
    till.tell(premium)
    assert _row(user).next_plan is None, "it was taken back"
    till.tell(basic)
    clock.set(premium.period_ends_at + timedelta(minutes=1))
    following = _next(basic)
    till.tell(following, till.paid(following, "in_2"))
    assert shop.plan_of(user) == "basic"
    assert till.moves(user) == [("grant", 1200), ("expire", -1200), ("grant", 500)]
    till.books_are_clean()


def test_up_spend_and_down_gives_nothing_twice(clock: Clock) -> None:
    user = till.customer(till.open_store())
    basic = till.billed(user)
    till.tell(basic, till.paid(basic))
    for _ in range(3):
        till.tell(replace(basic, plan="premium"), times=1)
        till.tell(basic, times=1)
    granted = [amount for reason, amount in till.moves(user) if reason == "grant"]
    assert granted[0] == 500
    assert len(granted) == 2, granted
    assert granted[1] <= 700


def test_a_failed_payment_leaves_the_features_for_a_grace_and_gives_no_credits(clock: Clock) -> None:
    user = till.customer(till.open_store())
    first = till.billed(user)
    till.tell(first, till.paid(first))
    clock.set(first.period_ends_at + timedelta(minutes=1))
    late = replace(_next(first), status=SubscriptionStatus.past_due)
    unpaid = till.paid(late, "in_2", status=InvoiceStatus.open, paid=0, attempts=1)
    till.tell(late, unpaid)
    assert shop.plan_of(user) == "basic"
    assert till.mail(user) == ["receipt", "payment_failed"]
    assert [amount for reason, amount in till.moves(user) if reason == "grant"] == [500]
    clock.move(days=billing.GRACE.days, minutes=1)
    once(plans.end_overdue, user_id=user)
    assert shop.plan_of(user) == "free"
    recovered = replace(late, status=SubscriptionStatus.active)
    till.tell(recovered, till.paid(recovered, "in_2"))
    assert shop.plan_of(user) == "basic"
    assert [amount for reason, amount in till.moves(user) if reason == "grant"] == [500, 500]
    till.books_are_clean()


def test_losing_a_plan_and_getting_it_back_within_a_cycle_gives_its_credits_once(user: UUID) -> None:
    subscription = till.billed(user)
    till.tell(subscription, till.paid(subscription))
    for status in (SubscriptionStatus.paused, SubscriptionStatus.active) * 2:
        till.tell(replace(subscription, status=status))
    assert shop.plan_of(user) == "basic"
    assert till.moves(user) == [("grant", 500)]


def test_deletion_revokes_the_features_and_leaves_the_credits(user: UUID) -> None:
    subscription = till.billed(user)
    till.tell(subscription, till.paid(subscription))
    till.tell(replace(subscription, status=SubscriptionStatus.canceled, ended_at=till.now()))
    assert shop.plan_of(user) == "free"
    assert till.balance(user) == (500, 0)
    assert till.mail(user) == ["receipt", "plan_ended"]
    with sessions() as session:
        assert billing.going_on(session, user_id=user) is None


def test_what_has_ended_stays_ended_whatever_older_news_arrives(user: UUID) -> None:
    subscription = till.billed(user)
    ended = replace(subscription, status=SubscriptionStatus.canceled, ended_at=till.now())
    till.tell(subscription, ended)
    assert till.mail(user) == ["plan_ended"]
    till.tell(subscription)
    assert shop.plan_of(user) == "free"
    with sessions() as session:
        assert billing.going_on(session, user_id=user) is None


def test_older_invoices_do_not_shorten_what_is_paid_for(user: UUID) -> None:
    first = till.billed(user, began=till.now() - timedelta(days=29))
    later = replace(first, period_starts_at=first.period_ends_at, period_ends_at=first.period_ends_at + MONTH)
    till.tell(first, till.paid(later, "in_2"), till.paid(first, "in_1"))
    with sessions() as session:
        row = billing.billed(session, first.id)
        assert row is not None
        assert row.paid_until == later.period_ends_at


def test_a_cancellation_ends_with_the_period_even_if_nobody_says_so(clock: Clock) -> None:
    user = till.customer(till.open_store())
    subscription = till.billed(user)
    till.tell(subscription, till.paid(subscription))
    till.tell(replace(subscription, cancels_at=subscription.period_ends_at))
    till.tell(subscription)
    assert _ends_at(user) is None, "it was taken back"
    till.tell(replace(subscription, cancels_at=subscription.period_ends_at))
    clock.set(subscription.period_ends_at + timedelta(minutes=1))
    once(plans.end_overdue, user_id=user)
    assert shop.plan_of(user) == "free"


def test_a_cancellation_during_the_renewal_keeps_what_was_paid(clock: Clock) -> None:
    user = till.customer(till.open_store())
    first = till.billed(user)
    till.tell(first, till.paid(first))
    clock.set(first.period_ends_at + timedelta(minutes=1))
    second = _next(first)
    canceled = replace(second, cancels_at=second.period_ends_at)
    till.tell(canceled, till.paid(canceled, "in_2"))
    assert shop.plan_of(user) == "basic"
    assert till.moves(user) == [("grant", 500), ("expire", -500), ("grant", 500)]


def test_a_trial_gives_its_own_credits_that_end_with_it(clock: Clock) -> None:
    user = till.customer(till.open_store())
    began = till.now()
    trial = till.billed(
        user, status=SubscriptionStatus.trialing, began=began, period_ends_at=began + timedelta(days=7),
        trial_ends_at=began + timedelta(days=7),
    )  # fmt: skip
    till.tell(trial, till.paid(trial, "in_0", paid=0, due=0, intent_id=None))
    assert till.balance(user) == (500, 0)
    assert till.mail(user) == []
    clock.set(began + timedelta(days=5))
    till.tell(trial)
    assert till.mail(user) == ["trial_ending"]
    clock.set(began + timedelta(days=7, minutes=1))
    begun = replace(
        trial, status=SubscriptionStatus.active, period_starts_at=trial.period_ends_at,
        period_ends_at=plans.months_after(trial.period_ends_at, 1),
    )  # fmt: skip
    till.tell(begun, till.paid(begun, "in_1"))
    assert till.moves(user) == [("grant", 500), ("expire", -500), ("grant", 500)]
    till.books_are_clean()


def test_what_follows_a_trial_is_paid_for_in_whatever_order_that_is_told(clock: Clock) -> None:
    user = till.customer(till.open_store())
    began = till.now()
    ends = began + timedelta(days=7)
    trial = till.billed(
        user, status=SubscriptionStatus.trialing, billing=Billing.yearly, began=began, period_ends_at=ends,
        trial_ends_at=ends,
    )  # fmt: skip
    till.tell(trial, till.paid(trial, "in_0", paid=0, due=0, intent_id=None))
    clock.set(ends + timedelta(minutes=1))
    begun = replace(
        trial, status=SubscriptionStatus.active, period_starts_at=ends, period_ends_at=plans.months_after(ends, 12)
    )
    till.tell(till.paid(begun, "in_1"), begun, begun, times=1)
    assert till.moves(user) == [("grant", 500), ("expire", -500), ("grant", 500)]
    clock.set(plans.months_after(ends, 1) + timedelta(minutes=1))
    once(plans.grant_due, user_id=user)
    assert till.balance(user) == (500, 0)
    assert [amount for reason, amount in till.moves(user) if reason == "grant"] == [500] * 3
    till.books_are_clean()


@pytest.mark.parametrize("invoice_first", [False, True])
def test_a_period_that_begins_early_gives_its_credits_at_once(user: UUID, invoice_first: bool) -> None:
    first = till.billed(user)
    till.tell(first, till.paid(first))
    again = replace(first, period_starts_at=till.now(), period_ends_at=till.now() + MONTH)
    facts: list[Fact] = [again, till.paid(again, "in_2", reason="subscription_cycle")]
    till.tell(*facts[::-1] if invoice_first else facts, times=1)
    assert till.moves(user) == [("grant", 500), ("grant", 500)]
    till.tell(*facts)
    assert till.moves(user) == [("grant", 500), ("grant", 500)]
    assert _row(user).paid_until == again.period_ends_at


def test_a_downgrade_comes_with_a_period_that_begins_early(user: UUID) -> None:
    premium = till.billed(user, "premium", billing=Billing.yearly, period_ends_at=till.now() + 12 * MONTH)
    till.tell(premium, till.paid(premium))
    basic = replace(
        premium, plan="basic", billing=Billing.monthly, period_starts_at=till.now(), period_ends_at=till.now() + MONTH
    )
    till.tell(basic, till.paid(basic, "in_2", reason="subscription_cycle"))
    assert shop.plan_of(user) == "basic"
    assert _row(user).next_plan is None
    assert till.moves(user) == [("grant", 1200), ("grant", 500)]


def test_a_trial_is_for_who_was_never_billed_for_a_plan(database: str) -> None:
    basic = {**till.PLANS["basic"], "trial_days": 7}
    store = shop.open_shop(plans={**till.PLANS, "basic": basic}, packs=till.PACKS)
    user, other = till.customer(store), till.customer(store)
    assert [_trial(store, user) for _ in range(2)] == [7, 7], "nothing has come of the first"
    trial = till.billed(user, status=SubscriptionStatus.trialing)
    till.tell(trial, till.paid(trial, "in_0", paid=0, due=0, intent_id=None))
    till.tell(replace(trial, status=SubscriptionStatus.canceled, ended_at=till.now()))
    assert _trial(store, user) is None
    assert _trial(store, other, plan="premium") is None
    assert _trial(store, other) == 7


def _trial(store: catalog.Catalog, user: UUID, *, plan: str = "basic") -> int | None:
    checkout_id = till.begin(store, user, plan=plan, billing=Billing.monthly)
    with sessions() as session:
        return checkouts.sold_trial(session.get_one(Checkout, checkout_id))


def test_weekly_tokens_come_while_it_is_paid(clock: Clock) -> None:
    user = till.customer(till.open_store())
    subscription = till.billed(user, "weekly")
    till.tell(subscription)
    assert till.moves(user) == []
    till.tell(till.paid(subscription))
    assert till.balance(user, "tokens") == (500, 0)
    for _ in range(6):
        clock.move(days=7)
        plans.grant_all_due(sessions)
    granted = [amount for reason, amount in till.moves(user) if reason == "grant"]
    assert granted in ([500] * 5, [500] * 6), "weeks that begin within thirty days, whatever day it is"
    assert len(granted) == _weeks_begun_within(subscription), granted


def test_a_second_subscription_of_one_user_is_undone(user: UUID) -> None:
    first = till.billed(user)
    till.tell(first, till.paid(first))
    till.tell(replace(first, id="sub_second"))
    with sessions() as session:
        found = session.scalars(select(Errand)).all()
    assert [(each.kind, each.about) for each in found] == [(ErrandKind.undo, "sub_second")]
    assert shop.plan_of(user) == "basic"
    once(errands.end, found[0].id)
    till.tell(replace(first, id="sub_second", status=SubscriptionStatus.canceled, ended_at=till.now()))
    assert shop.plan_of(user) == "basic"


def test_a_refunded_invoice_takes_back_what_its_time_gave(user: UUID) -> None:
    subscription = till.billed(user)
    till.tell(subscription, till.paid(subscription))
    till.spend(user, 100)
    till.tell(till.refunded(750, intent="pi_in_1"))
    assert till.moves(user) == [("grant", 500), ("spend", -100), ("clawback", -250)]
    till.tell(till.refunded(750, id="re_2", intent="pi_in_1"))
    assert till.balance(user) == (0, 100)
    till.books_are_clean()


def test_a_refunded_upgrade_takes_back_the_difference_alone(user: UUID) -> None:
    basic = till.billed(user)
    till.tell(basic, till.paid(basic))
    premium = replace(basic, plan="premium")
    till.tell(premium)
    difference = till.moves(user)[-1][1]
    line = InvoiceLine(
        id="il_up", amount=1400, plan="premium", billing=Billing.monthly, starts_at=basic.period_starts_at,
        ends_at=basic.period_ends_at, proration=True,
    )  # fmt: skip
    till.tell(till.paid(premium, "in_up", paid=1400, due=1400, lines=(line,), reason="subscription_update"))
    till.tell(till.refunded(1400, intent="pi_in_up"))
    assert till.moves(user)[-1] == ("clawback", -difference)
    assert till.balance(user) == (500, 0)


def _next(fact: SubscriptionFact) -> SubscriptionFact:
    return replace(fact, period_starts_at=fact.period_ends_at, period_ends_at=fact.period_ends_at + MONTH)


def _row(user: UUID) -> billing.BilledSubscription:
    with sessions() as session:
        row = billing.going_on(session, user_id=user)
    assert row is not None
    return row


def _ends_at(user: UUID) -> datetime | None:
    with sessions() as session:
        held = plans.entitlements(session, user_id=user).held
    assert held is not None
    return held.ends_at


def _weeks_begun_within(fact: SubscriptionFact) -> int:
    """This week, and those that begin before what was paid is over."""
    with sessions() as session:
        reset = catalog.current(session).reset
    begun, week = 1, plans.window(Period.weekly, reset, fact.period_starts_at, anchor=fact.period_starts_at)
    while week.ends_at < fact.period_ends_at:
        begun, week = begun + 1, plans.window(Period.weekly, reset, week.ends_at, anchor=week.ends_at)
    return begun
