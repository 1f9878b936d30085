"""`flask stripe sync` and `flask stripe doctor`: the Stripe account beside what Coinop needs of it.

`sync` makes the products and prices of the plans that are sold now; it shows what it would do, and does so with
`--yes`. What it leaves out is made when the first customer wants it. `doctor` looks at key, webhook and prices, and
says of what is wrong how to put it right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import stripe
from sqlalchemy import func, select
from stripe import StripeClient

from config import LIVE_KEYS, BadSettings, Settings, settings
from models import catalog
from models.catalog import Catalog
from models.database import readings
from models.errors import NotFound
from models.payments.tables import Customer
from ops.findings import Finding, Verdict
from strictness import on_this_machine
from worker.payments import gateway_for
from worker.payments.gateway import GatewayError
from worker.payments.mock.posting import PATH
from worker.payments.stripe_client import API_VERSION, client, our_errors
from worker.payments.stripe_gateway import TOLD_BY_EVENTS
from worker.payments.stripe_prices import PlanPrice, Prices, wanted

EVENTS = (*TOLD_BY_EVENTS, "customer.subscription.trial_will_end")
"""What the webhook is to be told."""


class CannotSay(Exception):
    """The command cannot do its work; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that `sync` would do."""

    what: str
    do: Callable[[], object]


def steps(prices: Prices, sold: Sequence[PlanPrice]) -> Iterator[Step]:
    """What is missing at Stripe of the products and prices that are sold."""
    known, products = prices.ours(), prices.products({each.plan for each in sold})
    for each in {each.plan: each for each in sold}.values():
        product = products.get(each.plan)
        if product is None:
            yield Step(f"+ product {each.product_id}: {each.title}", lambda each=each: prices.create_product(each))  # type: ignore[misc]
        elif product["name"] != each.title:
            what = f"~ product {each.product_id}: {each.title}, was {product['name']}"
            yield Step(what, lambda each=each: prices.rename_product(each))  # type: ignore[misc]
    for each in sold:
        if each.lookup_key not in known:
            yield Step(f"+ price {each.lookup_key}", lambda each=each: prices.create(each))  # type: ignore[misc]


def sync(chosen: Settings, *, really: bool) -> int:
    """Show what is missing at Stripe, and make it if it is `really` wanted. Returns the exit code."""
    prices, sold = Prices(_client(chosen)), wanted(_catalog())
    todo = list(steps(prices, sold))
    for step in todo:
        print(step.what)
    for key in sorted(set(prices.ours()) - {each.lookup_key for each in sold}):
        print(f"  price {key} is not sold any more; who pays it goes on paying it")
    if not todo:
        print(f"Nothing to do: Stripe has the {len(sold)} prices of the catalog.")
    elif not really:
        print("Nothing was changed. To do this: make stripe-sync ARGS=--yes")
    else:
        for step in todo:
            step.do()
        print("Done.")
    return 0


def doctor(chosen: Settings) -> int:
    """Print what is right and what is wrong. Returns the exit code: 1 when something fails."""
    findings = list(examine(chosen))
    for finding in findings:
        print(finding)
    return int(any(finding.verdict is Verdict.fail for finding in findings))


def examine(chosen: Settings) -> Iterator[Finding]:
    """Look at the settings, the account, its webhook, its prices, and our own customers."""
    if gateway_for(chosen).name != "stripe":
        yield Finding(Verdict.warn, "the mock gateway takes the payments", "Set PAYMENTS_MODE=stripe to go on sale")
    try:
        reached = _client(chosen)
        yield _account(chosen, reached)
        yield _version()
        yield from _webhook(chosen, reached)
        yield _prices(reached)
        yield _customers()
    except (CannotSay, GatewayError) as error:
        yield Finding(Verdict.fail, str(error).rstrip("."), "The rest was not looked at")


def _account(chosen: Settings, reached: StripeClient) -> Finding:
    with our_errors():
        account = reached.v1.accounts.retrieve_current().to_dict()
    key = chosen.stripe_secret_key.get_secret_value() if chosen.stripe_secret_key else ""
    mode = "live" if key.startswith(LIVE_KEYS) else "test"
    what = f"the key opens the account {account['id']} in {mode} mode"
    if mode == "live" and not account.get("charges_enabled"):
        remedy = "Finish its activation in Stripe's dashboard"
        return Finding(Verdict.fail, f"{what}, which may not take payments yet", remedy)
    if mode == "test" and not chosen.in_development:
        return Finding(Verdict.warn, f"{what}: no money is taken", "Set a live STRIPE_SECRET_KEY to go on sale")
    return Finding(Verdict.ok, what)


def _version() -> Finding:
    if stripe.api_version != API_VERSION:
        what = f"calls are made in version {API_VERSION}, the library is for {stripe.api_version}"
        return Finding(Verdict.warn, what, "Read Stripe's changelog, then change worker/payments/stripe_client.py")
    return Finding(Verdict.ok, f"calls are made in version {API_VERSION}")


def _webhook(chosen: Settings, reached: StripeClient) -> Iterator[Finding]:
    url = f"{chosen.public_url}{PATH}"
    if on_this_machine(urlsplit(url).hostname or ""):
        remedy = f"Set PUBLIC_URL, or pass them on: stripe listen --forward-to {url} --events {','.join(EVENTS)}"
        yield Finding(Verdict.warn, f"Stripe cannot reach {url}", remedy)
    else:
        with our_errors():
            listed = reached.v1.webhook_endpoints.list({"limit": 100})
            endpoints = [each.to_dict() for each in listed.auto_paging_iter()]
        yield from _endpoint(url, [each for each in endpoints if each["url"] == url])
    secret = chosen.stripe_webhook_secret
    if secret is None:
        yield Finding(Verdict.fail, "STRIPE_WEBHOOK_SECRET is not set", "Copy it from the endpoint in the dashboard")
    elif not secret.get_secret_value().startswith("whsec_"):
        yield Finding(Verdict.warn, "STRIPE_WEBHOOK_SECRET does not look like one", "They begin with whsec_")
    else:
        yield Finding(Verdict.ok, "STRIPE_WEBHOOK_SECRET is set; only an event can show that it is the right one")


def _endpoint(url: str, found: list[dict[str, Any]]) -> Iterator[Finding]:
    if not found:
        remedy = f"Add it in the dashboard with version {API_VERSION} and the events {', '.join(EVENTS)}"
        yield Finding(Verdict.fail, f"there is no webhook endpoint for {url}", remedy)
        return
    endpoint = found[0]
    if endpoint["status"] != "enabled":
        yield Finding(Verdict.fail, f"the webhook endpoint {url} is {endpoint['status']}", "Enable it in the dashboard")
    told = set(endpoint["enabled_events"])
    missing = [] if "*" in told else [each for each in EVENTS if each not in told]
    if missing:
        yield Finding(Verdict.fail, f"the webhook endpoint is not told of {', '.join(missing)}", "Add these events")
    else:
        yield Finding(Verdict.ok, f"the webhook endpoint {url} is told of all we need")
    if endpoint.get("api_version") != API_VERSION:
        what = f"the webhook endpoint has version {endpoint.get('api_version') or 'of the account'}"
        yield Finding(Verdict.warn, what, f"{API_VERSION} is what we test with; older shapes are understood as well")


def _prices(reached: StripeClient) -> Finding:
    sold = wanted(_catalog())
    todo = list(steps(Prices(reached), sold))
    if todo:
        remedy = "Run make stripe-sync; until then they are made for the first customer who wants them"
        return Finding(Verdict.warn, f"{len(todo)} products and prices are not at Stripe yet", remedy)
    return Finding(Verdict.ok, f"Stripe has the {len(sold)} prices of the catalog")


def _customers() -> Finding:
    with readings() as session:
        mocked = select(func.count()).select_from(Customer).where(Customer.gateway_id.contains("_mock_"))
        strangers = session.scalar(mocked) or 0
    if strangers:
        remedy = "Stripe does not know them: go on sale with a database in which nobody has paid yet"
        return Finding(Verdict.fail, f"{strangers} of our customers were made by the mock gateway", remedy)
    return Finding(Verdict.ok, "all our customers are Stripe's")


def _client(chosen: Settings) -> StripeClient:
    if chosen.stripe_secret_key is None:
        raise CannotSay("STRIPE_SECRET_KEY is not set: take a test key (sk_test_…) from Stripe's dashboard")
    return client(chosen)


def _catalog() -> Catalog:
    try:
        with readings() as session:
            return catalog.current(session)
    except NotFound:
        raise CannotSay("No catalog is loaded: run make migrate") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="flask stripe", description="Look after the Stripe account.")
    commands = parser.add_subparsers(dest="command", required=True)
    syncing = commands.add_parser("sync", help="make the products and prices of the plans that are sold")
    syncing.add_argument("--yes", action="store_true", help="do it; else it is only shown")
    commands.add_parser("doctor", help="check key, webhook and prices")
    asked = parser.parse_args(arguments)
    try:
        return sync(settings(), really=asked.yes) if asked.command == "sync" else doctor(settings())
    except BadSettings as error:
        print(error, file=sys.stderr)
    except (CannotSay, GatewayError) as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
