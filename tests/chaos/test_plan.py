"""The plan of a run follows from its seed, and has everything in it."""

from __future__ import annotations

import pytest

from chaos.plan import DECK, ON_POSTGRESQL, USERS, plan_faults, plan_orders


def test_the_same_seed_is_the_same_plan() -> None:
    assert plan_orders(7, jobs=300, seconds=60) == plan_orders(7, jobs=300, seconds=60)
    assert plan_faults(7, seconds=60, postgresql=True) == plan_faults(7, seconds=60, postgresql=True)
    assert plan_orders(7, jobs=300, seconds=60) != plan_orders(8, jobs=300, seconds=60)
    assert plan_faults(7, seconds=60, postgresql=True) != plan_faults(8, seconds=60, postgresql=True)


def test_a_run_of_two_minutes_has_every_fault() -> None:
    planned = {(fault.act, fault.target) for fault in plan_faults(1, seconds=120, postgresql=True)}
    assert planned == {(act, target) for _, act, target, _, _ in (*DECK, *ON_POSTGRESQL)}


def test_faults_end_soon_after_the_run() -> None:
    for seed in range(20):
        faults = plan_faults(seed, seconds=60, postgresql=False)
        assert max(fault.at + fault.seconds for fault in faults) <= 63.01
        assert all(fault.target != "postgresql" for fault in faults)


def test_only_the_faults_that_were_named() -> None:
    assert {fault.target for fault in plan_faults(1, seconds=60, postgresql=True, only="freeze broker")} == {"broker"}
    with pytest.raises(ValueError, match="no fault is called 'bark'"):
        plan_faults(1, seconds=60, postgresql=True, only="bark")


def test_orders_are_as_many_as_asked_and_of_every_sort() -> None:
    orders = plan_orders(1, jobs=2_000, seconds=300)
    assert len(orders) == len({order.key for order in orders}) == 2_000
    assert {order.user for order in orders} == set(range(USERS))
    marks = {mark for order in orders for mark in order.marks}
    assert {"crash", "crash-once", "fail", "fail-twice", "underrun", "rate-limited", "latency=2", "latency=5"} == marks
    assert any(order.expires_in for order in orders)
    assert any(order.cancel_after is not None for order in orders)
    assert any(order.repeat for order in orders)


def test_poison_comes_early() -> None:
    poison = [order for order in plan_orders(1, jobs=2_000, seconds=300) if "crash" in order.marks]
    assert len(poison) == 2
    assert max(order.at for order in poison) < 0.4 * 300
