"""The mock gateway's own work: its pages' buttons, its post, its clock. Without mock objects there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from config import settings
from models.database import readings, sessions
from models.payments import mock_objects
from worker.app import app
from worker.payments import gateway_for
from worker.payments.gateway import Refused
from worker.payments.mock import bank, billing, counter, posting
from worker.payments.mock.till import Till, till

log = structlog.get_logger(__name__)

MOST_POSTED_AGAIN = 100

PRESSED: dict[str, Callable[[Till, str, str], object]] = {
    "pay": lambda at, found, card: counter.pay(at, found, card),
    "authenticate": lambda at, found, card: counter.authenticate(at, found, succeed=True),
    "fail": lambda at, found, card: counter.authenticate(at, found, succeed=False),
    "abandon": lambda at, found, card: counter.expire(at, found),
    "debit": lambda at, found, card: counter.pay_later(at, found),
    "arrive": lambda at, found, card: counter.arrive(at, found),
    "bounce": lambda at, found, card: counter.bounce(at, found),
    "settle": lambda at, found, card: billing.pay(at, found, present=True),
    "retry": lambda at, found, card: billing.retry_now(at, found),
    "save": lambda at, found, card: counter.choose_card(at, at.take(found)["customer"], card),
    "renew": lambda at, found, card: billing.end_period(at, found),
    "refund": lambda at, found, card: bank.give_back(at, at.take(found)["payment_intent"]),
    "dispute": lambda at, found, card: bank.open_dispute(at, at.take(found)),
    "win": lambda at, found, card: bank.close_dispute(at, found, won=True),
    "lose": lambda at, found, card: bank.close_dispute(at, found, won=False),
}
"""What the buttons of the mock's pages do, by the name that `web/mock_checkout.py` gives them."""


@app.task(name=mock_objects.CHECKOUT_TASK)
def press(object_id: str, outcome: str, card: str) -> None:
    """Do what somebody did on a page of the mock gateway. Again does no harm: what is paid is not open any more."""
    try:
        with till() as at:
            PRESSED[outcome](at, object_id, card)
    except Refused as refused:
        log.warning("mock_refused", object_id=object_id, outcome=outcome, code=refused.code)


@app.task(name=mock_objects.POST_TASK)
def post_event(event_id: str) -> None:
    """Tell the webhook of an event, as Stripe would; until it answers that it has it."""
    with readings() as session:
        event = mock_objects.find(session, event_id)
    if event is None or not event["pending_webhooks"]:
        return
    taken = posting.post(event, settings())
    with sessions() as session:
        event = {**event, "pending_webhooks": 0 if taken else 1, "_attempts": event.get("_attempts", 0) + 1}
        mock_objects.change(session, object_id=event_id, data=event)
        pause = None if taken else posting.pause(event["_attempts"])
        if pause is not None:
            mock_objects.have_posted(session, event_id, delay=pause)
    if not taken:
        log.warning("mock_event_not_taken", event_id=event_id, attempts=event["_attempts"])


@app.task(name="payments.let_time_pass")
def let_time_pass() -> None:
    """Have the gateway do what is due by now, and post what was lost on the way; one elsewhere does so by itself."""
    gateway_for(settings()).let_time_pass()
    with sessions() as session:
        for event_id in mock_objects.forgotten(session, limit=MOST_POSTED_AGAIN):
            mock_objects.have_posted(session, event_id)
