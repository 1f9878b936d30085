"""The storm and the silence: events five times each, shuffled, with workers killed; or hardly any events at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from config import ROOT, settings
from models.database import now, sessions
from models.outbox import Outbox
from models.payments import inbox
from models.payments.inbox import EventState, GatewayEvent
from tasks import payments as tasks
from tests.payments import histories, till
from tests.payments.hands import Hands
from worker.payments.mock import posting

CUSTOMERS = int(os.environ.get("COINOP_STORM", "12"))
"""The whole storm, over 1,000 events, is `make chaos ARGS=--storm`."""

TIMES = 5
PATIENCE_SECONDS = 60 + CUSTOMERS


def test_a_storm_of_events_is_worth_what_happened(postgresql: str, app_client: FlaskClient) -> None:
    chance = Random(2026)
    sold = till.open_store()
    told = histories.customers(sold, seed=7, count=CUSTOMERS)
    events = histories.events() * TIMES
    chance.shuffle(events)
    begin, kills = time.monotonic(), 0
    with _workers_that_die(chance) as kill:
        for number, event in enumerate(events):
            body, headers = posting.signed(event, settings().webhook_secret)
            assert app_client.post("/v1/webhooks/stripe", data=body, headers=headers).status_code == 200
            if number % max(len(events) // 8, 1) == 0:
                kill()
                kills += 1
        told_after = time.monotonic() - begin
        _wait_for_the_end()
    states = _states()
    assert set(states) <= {EventState.done, EventState.ignored}, states
    assert sum(states.values()) == len(events) // TIMES
    histories.check(told)
    sys.stdout.write(  # for who runs the whole storm, and looks
        f"\n{CUSTOMERS} customers, {len(events) // TIMES} events, each told {TIMES} times: {len(events)} deliveries in"
        f" {told_after:.0f} s, all handled after {time.monotonic() - begin:.0f} s; {kills} workers killed; "
        + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        + "\n"
    )


def test_in_silence_the_reconciliation_comes_to_the_same(client: FlaskClient, hands: Hands) -> None:
    sold = till.open_store()
    told = histories.customers(sold, seed=11, count=CUSTOMERS)
    chance = Random(3)
    for event in histories.events():
        if chance.random() < 0.3:
            hands.post(event, settings())
    hands.deaf = True
    hands.work()
    for _ in range(2):
        tasks.reconcile.run()
    histories.check(told)


@pytest.fixture
def app_client(app: object) -> FlaskClient:
    client: FlaskClient = app.test_client()  # type: ignore[attr-defined]
    return client


@contextmanager
def _workers_that_die(chance: Random) -> Iterator[Callable[[], None]]:
    """Two workers, of which one is killed and replaced at each call of what is given."""
    argv = [sys.executable, "-m", "tests.payments.storm_worker"]
    running = [subprocess.Popen(argv, cwd=ROOT, env=dict(os.environ)) for _ in range(2)]

    def kill() -> None:
        time.sleep(chance.random() * 0.2)
        victim = running.pop(0)
        victim.kill()
        victim.wait()
        running.append(subprocess.Popen(argv, cwd=ROOT, env=dict(os.environ)))

    try:
        yield kill
    finally:
        for each in running:
            each.kill()
            each.wait()


def _wait_for_the_end() -> None:
    """Until no event waits; those that were put off are not waited for, their time is brought forward."""
    stop = time.monotonic() + PATIENCE_SECONDS
    while EventState.received in _states():
        assert time.monotonic() < stop, _states()
        time.sleep(0.1)
        with sessions() as session:
            if session.scalar(select(Outbox.id).where(Outbox.task == inbox.HANDLE_TASK).limit(1)) is not None:
                continue  # the workers have not seen all of it yet
            waiting = update(GatewayEvent).where(GatewayEvent.state == EventState.received)
            brought_forward = waiting.values(due_at=now(-1), attempts=0)
            session.execute(brought_forward.execution_options(synchronize_session=False))
        with sessions() as session:
            inbox.handle_due(session, limit=1_000)


def _states() -> Counter[EventState]:
    with sessions() as session:
        rows = session.execute(select(GatewayEvent.state, func.count()).group_by(GatewayEvent.state)).all()
    return Counter({state: int(count) for state, count in rows})
