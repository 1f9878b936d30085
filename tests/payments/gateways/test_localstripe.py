"""A Stripe that no one here wrote: what localstripe can do, our gateway does with it.

It has customers, payment intents, refunds, subscriptions to plans (the shape of old) and signed webhooks. It has no
Checkout sessions, no prices, no schedules, no disputes, and takes no notice of idempotency keys.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from config import ROOT
from models.catalog import Billing
from models.payments.facts import IntentStatus, InvoiceStatus, RefundStatus, SubscriptionStatus
from ops.embedded import free_port
from tests.payments.gateways.conftest import pack, with_stripe
from tests.payments.gateways.stripe_stub import KEY, wait_until
from tests.payments.signing import sign
from worker.payments.gateway import Declined, Refused
from worker.payments.stripe_client import client
from worker.payments.stripe_gateway import StripeGateway

SECRET = "whsec_of_localstripe"
CARD = {"exp_month": "12", "exp_year": "2030", "cvc": "123"}


@pytest.fixture(scope="module")
def localstripe() -> Iterator[str]:
    port = free_port()
    script = Path(__file__).with_name("run_localstripe.py")
    process = subprocess.Popen([sys.executable, str(script), str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), seconds=60)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def gateway(localstripe: str) -> StripeGateway:
    return StripeGateway(client(with_stripe(localstripe)))


@pytest.fixture
def customer(gateway: StripeGateway) -> str:
    return gateway.create_customer(user_id=uuid4(), email="ann@example.com", key=f"customer:{uuid4()}")


def ask(url: str, path: str, /, **form: str) -> dict[str, Any]:
    """Do what the gateway does not: play the customer."""
    answer = httpx.post(f"{url}{path}", data=form, headers={"Authorization": f"Bearer {KEY}"}, timeout=10)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


def save_card(url: str, customer: str, number: str) -> str:
    card = {f"card[{name}]": value for name, value in {"number": number, **CARD}.items()}
    made = str(ask(url, "/v1/payment_methods", type="card", **card)["id"])
    ask(url, f"/v1/payment_methods/{made}/attach", customer=customer)
    return made


def test_a_customer_is_ours_by_its_metadata(gateway: StripeGateway, localstripe: str) -> None:
    user_id = uuid4()
    made = gateway.create_customer(user_id=user_id, email="ann@example.com", key="customer:1")
    found = httpx.get(f"{localstripe}/v1/customers/{made}", headers={"Authorization": f"Bearer {KEY}"}).json()
    assert (found["email"], found["metadata"]) == ("ann@example.com", {"user_id": str(user_id)})


def test_an_intent_waits_and_is_canceled(gateway: StripeGateway, customer: str) -> None:
    sale = pack(amount=1234, currency="EUR")
    opened = gateway.open_intent(sale, customer_id=customer, key="checkout:1")
    assert opened.client_secret.startswith(opened.id)
    fact = gateway.intent(opened.id)
    assert (fact.status, fact.amount, fact.received, fact.currency) == (IntentStatus.waiting, 1234, 0, "EUR")
    assert (fact.checkout_id, fact.customer_id) == (sale.checkout_id, customer)
    gateway.close(opened.id)
    gateway.close(opened.id)
    assert gateway.intent(opened.id).status is IntentStatus.canceled


def test_a_saved_card_is_charged_and_the_money_given_back(
    gateway: StripeGateway, customer: str, localstripe: str
) -> None:
    with pytest.raises(Declined) as none:
        gateway.charge_saved_card(pack(), customer_id=customer, key="checkout:0")
    assert none.value.code == "no_saved_card"
    save_card(localstripe, customer, "4242424242424242")
    sale = pack(amount=700)
    charged = gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1")
    fact = gateway.intent(charged.id)
    assert fact == charged.fact
    assert (fact.status, fact.received, fact.checkout_id) == (IntentStatus.succeeded, 700, sale.checkout_id)
    assert fact.charge_id is not None
    gateway.close(charged.id)
    refund = gateway.give_back(intent_id=charged.id, amount=300, key="refund:1")
    assert (refund.status, refund.amount, refund.currency) == (RefundStatus.succeeded, 300, "USD")
    assert (refund.intent_id, refund.charge_id) == (charged.id, fact.charge_id)
    assert gateway.refund(refund.id) == refund
    assert gateway.refunds_of(charge_id=fact.charge_id) == [refund]


def test_a_card_that_fails_later_is_declined(gateway: StripeGateway, customer: str, localstripe: str) -> None:
    save_card(localstripe, customer, "4000000000000341")
    with pytest.raises(Declined) as declined:
        gateway.charge_saved_card(pack(), customer_id=customer, key="checkout:1")
    assert declined.value.code == "card_declined"


def test_a_subscription_to_a_plan_of_old_is_the_same_fact(
    gateway: StripeGateway, customer: str, localstripe: str
) -> None:
    plan = f"basic-{uuid4()}"
    marks = {"metadata[plan]": "basic", "metadata[billing]": "monthly"}
    ask(
        localstripe, "/v1/plans", id=plan, amount="1500", currency="usd", interval="month",
        **{"product[name]": "Basic"}, **marks,
    )  # fmt: skip
    card = save_card(localstripe, customer, "4242424242424242")
    ask(localstripe, f"/v1/customers/{customer}", **{"invoice_settings[default_payment_method]": card})
    checkout_id = uuid4()
    made = ask(
        localstripe, "/v1/subscriptions", customer=customer, **{"items[0][plan]": plan},
        **{"metadata[checkout_id]": str(checkout_id)},
    )  # fmt: skip
    fact = gateway.subscription(made["id"])
    assert (fact.status, fact.plan, fact.billing) == (SubscriptionStatus.active, "basic", Billing.monthly)
    assert (fact.customer_id, fact.checkout_id) == (customer, checkout_id)
    assert 27 < (fact.period_ends_at - fact.period_starts_at).days < 32
    invoice = gateway.invoice(fact.latest_invoice_id or "")
    assert (invoice.status, invoice.due, invoice.paid) == (InvoiceStatus.paid, 1500, 1500)
    assert (invoice.subscription_id, invoice.customer_id) == (fact.id, customer)
    assert gateway.intent(invoice.intent_id or "").charge_id == invoice.charge_id
    [line] = invoice.lines
    assert (line.amount, line.plan, line.billing, line.proration) == (1500, "basic", Billing.monthly, False)
    assert gateway.cancel(fact.id, at_period_end=True, key="cancel:1").cancels_at == fact.period_ends_at
    assert gateway.resume(fact.id, key="resume:1").cancels_at is None


def test_what_is_not_there_is_refused(gateway: StripeGateway) -> None:
    with pytest.raises(Refused):
        gateway.intent("pi_missing")


def test_its_webhooks_are_signed_as_we_think(customer: str, gateway: StripeGateway, localstripe: str) -> None:
    came: list[tuple[bytes, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.rfile.read(int(self.headers["Content-Length"])), self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        hook = f"http://127.0.0.1:{server.server_address[1]}/v1/webhooks/stripe"
        ask(localstripe, "/_config/webhooks/ours", url=hook, secret=SECRET)
        save_card(localstripe, customer, "4242424242424242")
        charged = gateway.charge_saved_card(pack(), customer_id=customer, key="checkout:1")
        about = (b"payment_intent.succeeded", charged.id.encode())
        wait_until(lambda: any(all(each in body for each in about) for body, _ in came))
    finally:
        server.shutdown()
        server.server_close()
    body, header = next((body, header) for body, header in came if all(each in body for each in about))
    event = json.loads(body)
    assert (event["object"], event["data"]["object"]["id"]) == ("event", charged.id)
    assert header == sign(body, SECRET, at=event["created"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/balance", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    except httpx.HTTPError:
        return False
