"""Payments: what is asked of the gateway, and what it has to tell, brought into our rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from config import settings
from models import catalog, users
from models.database import moment, readings, sessions
from models.payments import checkouts, errands, inbox, payments, reconciliation, top_ups
from models.payments.checkouts import sold_price, sold_trial
from models.payments.facts import Fact, IntentFact, IntentStatus, PageFact
from models.payments.following import follow
from models.payments.inbox import EventState
from models.payments.tables import Checkout, CheckoutMode, CheckoutState
from worker.app import app
from worker.payments import gateway_for
from worker.payments.errands import run
from worker.payments.gateway import Gateway, GatewayError, Sale, Unreachable
from worker.payments.looking import look

log = structlog.get_logger(__name__)

PAGE = 200

FORGOTTEN_SECONDS = 10
"""How long a checkout's own task has to open it before the sweep has it done."""

OVERLAP = timedelta(minutes=10)
"""How far the reconciliation looks back behind its mark: clocks differ, and lists lag behind what they list."""


@app.task(name=checkouts.OPEN_TASK)
def open_checkout(checkout_id: str) -> None:
    """Open a checkout at the gateway. Again does no harm: the gateway knows the call by its key."""
    with readings() as session:
        wanted = checkouts.to_open(session, UUID(checkout_id))
    if wanted is None:
        return
    try:
        _open(gateway_for(settings()), wanted)
    except Unreachable as error:
        # The sweep has it tried again; the row stays as it is.
        log.warning("gateway_unreachable", checkout_id=checkout_id, code=error.code)
    except GatewayError as error:
        log.error("checkout_refused", checkout_id=checkout_id, code=error.code)
        with sessions() as session:
            checkouts.end(session, checkout_id=wanted.id, state=CheckoutState.failed, problem=error.code)


def _open(at: Gateway, wanted: Checkout) -> None:
    sale = Sale(
        checkout_id=wanted.id, title=wanted.terms["title"], price=sold_price(wanted), plan=wanted.plan,
        billing=wanted.billing, trial_days=sold_trial(wanted),
    )  # fmt: skip
    customer_id = customer(at, wanted.user_id)
    key = f"checkout:{wanted.id}"
    if wanted.mode is CheckoutMode.page:
        page = at.open_page(
            sale, customer_id=customer_id, success_url=wanted.success_url or "", cancel_url=wanted.cancel_url or "",
            key=key,
        )  # fmt: skip
        with sessions() as session:
            checkouts.opened(session, checkout_id=wanted.id, gateway_id=page.id, url=page.url)
        return
    begin = at.open_intent if wanted.mode is CheckoutMode.intent else at.charge_saved_card
    intent = begin(sale, customer_id=customer_id, key=key)
    with sessions() as session:
        checkouts.opened(session, checkout_id=wanted.id, gateway_id=intent.id, client_secret=intent.client_secret)
        follow(session, intent.fact)


def customer(at: Gateway, user_id: UUID) -> str:
    """What the gateway knows a user as; it is told about the user first, if it does not."""
    with readings() as session:
        known = checkouts.customer_of(session, user_id=user_id)
        user = users.get(session, user_id)
    if known is not None:
        return known
    made = at.create_customer(user_id=user_id, email=user.email or "", key=f"customer:{user_id}")
    with sessions() as session:
        return checkouts.keep_customer(session, user_id=user_id, gateway_id=made)


@app.task(name=inbox.HANDLE_TASK)
def handle_event(event_id: str) -> None:
    """Look at what an event points at, and bring our rows in line with it; the event is done with its effects."""
    with readings() as session:
        event = inbox.waiting(session, event_id)
    if event is None:
        return
    try:
        facts = look(gateway_for(settings()), event_type=event.type, object_id=event.object_id)
        _be_done_with(event_id, facts)
    except GatewayError as error:
        log.warning("event_put_off", event_id=event_id, type=event.type, code=error.code)
        retry_after = error.retry_after if isinstance(error, Unreachable) else None
        with sessions() as session:
            inbox.put_off(session, event_id, trouble=error.code, retry_after=retry_after)
    except Exception:
        # One event that we cannot take must neither stop the others nor be tried for ever.
        log.exception("event_broke", event_id=event_id, type=event.type)
        with sessions() as session:
            inbox.put_off(session, event_id, trouble="internal_error")
    else:
        log.info("event_handled", event_id=event_id, type=event.type, facts=len(facts or ()))


def _be_done_with(event_id: str, facts: Sequence[Fact] | None) -> None:
    with sessions() as session:
        if facts is None:
            inbox.end(session, event_id, EventState.ignored)
        elif _follow_all(session, facts):
            inbox.end(session, event_id, EventState.done)
        else:
            # It may be about something whose own event, or our own commit, is still to come.
            inbox.put_off(session, event_id, trouble=inbox.UNKNOWN)


def _follow_all(session: Session, facts: Sequence[Fact]) -> bool:
    known = [follow(session, fact) for fact in facts]
    return all(known)


@app.task(name=payments.LOOK_TASK)
def look_at_payment(payment_id: str) -> None:
    """Ask the gateway what has become of a payment."""
    with readings() as session:
        gateway_id = payments.gateway_id_of(session, UUID(payment_id))
    if gateway_id is None:
        return
    try:
        fact = gateway_for(settings()).intent(gateway_id)
    except GatewayError as error:
        log.warning("payment_not_looked_at", payment_id=payment_id, code=error.code)
        return
    with sessions() as session:
        follow(session, fact)


@app.task(name=errands.RUN_TASK)
def run_errand(errand_id: str) -> None:
    """Ask of the gateway what somebody wants of it. Again does no harm: the gateway knows each call by its key."""
    with readings() as session:
        errand = errands.waiting(session, UUID(errand_id))
    if errand is None:
        return
    try:
        facts, answer = run(gateway_for(settings()), errand, customer)
    except Unreachable as error:
        # The sweep has it tried again; the errand goes on waiting.
        log.warning("gateway_unreachable", errand_id=errand_id, code=error.code)
        return
    except GatewayError as error:
        log.warning("errand_refused", errand_id=errand_id, kind=errand.kind, code=error.code)
        with sessions() as session:
            errands.end(session, errand.id, problem=error.code)
        return
    with sessions() as session:
        _follow_all(session, facts)
        errands.end(session, errand.id, answer=answer)


@app.task(name="payments.sweep")
def sweep() -> None:
    """Have done what was left lying: events whose time has come, checkouts that nobody opened."""
    with sessions() as session:
        events = inbox.handle_due(session, limit=PAGE)
    with sessions() as session:
        opened = checkouts.forgotten(session, limit=PAGE, older_than=FORGOTTEN_SECONDS)
        errand_count = errands.forgotten(session, limit=PAGE, older_than=FORGOTTEN_SECONDS)
    if events or opened or errand_count:
        log.info("payments_swept", events=events, checkouts=opened, errands=errand_count)


@app.task(name="payments.top_up")
def top_up() -> None:
    """Begin the purchases of those who want to be topped up and are low, each in a transaction of its own."""
    after, begun = None, 0
    while True:
        with readings() as session:
            due = top_ups.due(session, limit=PAGE, after=after)
        for user_id in due:
            with sessions() as session:
                begun += top_ups.top_up(session, catalog.current(session), user_id=user_id) is not None
        if len(due) < PAGE:
            break
        after = due[-1]
    if begun:
        log.info("topped_up", checkouts=begun)


def _tell_of_stray_money(fact: Fact) -> None:
    """Say of money that came for a checkout of ours which is not there: a backup older than it was restored."""
    if not isinstance(fact, PageFact | IntentFact) or fact.checkout_id is None:
        return
    if fact.paid if isinstance(fact, PageFact) else fact.status is IntentStatus.succeeded:
        log.error("paid_without_checkout", gateway_id=fact.id, checkout_id=str(fact.checkout_id))


@app.task(name="payments.reconcile")
def reconcile() -> None:
    """Find what the gateway never told us: go through all that changed there, as if each had been told just now."""
    at = gateway_for(settings())
    with readings() as session:
        began = moment(session)
        since = reconciliation.reached(session, at.name)
    seen, unknown = 0, []
    try:
        for fact in at.changes_since(since - OVERLAP):
            with sessions() as session:
                if not follow(session, fact):
                    unknown.append(fact)
            seen += 1
    except GatewayError as error:
        # The mark stays where it was: the next run begins there again.
        log.warning("reconciliation_cut_short", code=error.code, seen=seen)
        return
    for fact in unknown:
        # What it belongs to may have come after it.
        with sessions() as session:
            known = follow(session, fact)
        if not known:
            _tell_of_stray_money(fact)
    with sessions() as session:
        reconciliation.reach(session, at.name, began)
    log.info("reconciled", facts=seen)
