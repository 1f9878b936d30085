"""The gateway's door: signed events that are stored and staged, beside a view that only reads the body."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from bench import stock
from bench.house import House, running
from bench.load import Load, Plan, fire, signed_post
from bench.report import Row
from bench.watch import ask
from bench.web_paths import rows, times
from config import settings
from ops.embedded import free_port
from worker.payments.mock import posting

ROUNDS = 3
SECONDS = 4.0
WARM_UP_SECONDS = 2.0
PARALLEL = 200
"""Deliveries under way at once: what a gateway does after an hour in which nobody answered it."""

EVENTS = 15_000
"""More than anybody takes in one round, so that each delivery is a new event."""


def webhooks(house: House, seconds: float = SECONDS) -> tuple[list[Row], list[str]]:
    """`POST /v1/webhooks/stripe` under many deliveries at once. No worker runs meanwhile."""
    bare, _ = stock.bare(house)
    made = stock.product(house)
    theirs: list[Load] = []
    ours: list[Load] = []
    for _ in range(ROUNDS):
        theirs.append(_measure(house, bare, "/webhooks", seconds, bare=True))
        ours.append(_measure(house, made.template, posting.PATH, seconds))
    taken = min(load.share(200) for load in ours)
    return rows("webhooks", theirs, ours), [
        f"**webhooks**: `POST {posting.PATH}`, {PARALLEL} deliveries at once, each a new signed event of "
        f"{len(_delivery('/')):,} bytes with its headers: signature, row and message in one durable transaction; "
        "beside a Flask view that reads the body and answers 200. Both run under the gunicorn of `make up`. "
        f"{taken:.1%} were taken and stored. p50/p99 {times(ours)} beside {times(theirs)}.",
    ]


def _measure(house: House, template: str, path: str, seconds: float, *, bare: bool = False) -> Load:
    """One round: a fresh copy of the database, an empty broker, fresh processes, events that nobody has seen."""
    house.empty_broker()
    url, port = house.new_database(template), free_port()
    with running("web", {"DATABASE_URL": url, "PORT": str(port)}, house.folder, bare=bare) as web:
        load = fire(
            Plan(
                port=port, requests=[_delivery(path) for _ in range(EVENTS)], seconds=seconds, connections=PARALLEL,
                warm_up=WARM_UP_SECONDS, watched=(web.pid, *house.servers()),
            )
        )  # fmt: skip
    if not bare and ask(url, "SELECT count(*) FROM gateway_events") < load.share(200) * load.total:
        raise RuntimeError("fewer events were stored than taken")
    return load


def _delivery(path: str) -> bytes:
    """A new event as the gateway sends it."""
    body, headers = posting.signed(_event(), settings().webhook_secret)
    return signed_post(path, body, headers)


def _event() -> dict[str, Any]:
    intent = f"pi_{uuid4().hex}"
    return {
        "id": f"evt_{uuid4().hex}", "object": "event", "api_version": "2026-10-28.endive", "created": int(time.time()),
        "livemode": False, "pending_webhooks": 1, "type": "payment_intent.succeeded",
        "request": {"id": f"req_{uuid4().hex}", "idempotency_key": str(uuid4())},
        "data": {
            "object": {
                "id": intent, "object": "payment_intent", "amount": 2499, "amount_received": 2499, "currency": "eur",
                "customer": f"cus_{uuid4().hex}", "status": "succeeded", "latest_charge": f"ch_{uuid4().hex}",
                "payment_method": f"pm_{uuid4().hex}", "payment_method_types": ["card"], "description": "Pro",
                "client_secret": f"{intent}_secret_{uuid4().hex}", "metadata": {"checkout": str(uuid4())},
                "automatic_payment_methods": {"enabled": True}, "capture_method": "automatic_async",
                "last_payment_error": None, "next_action": None, "canceled_at": None, "livemode": False,
            }
        },
    }  # fmt: skip
