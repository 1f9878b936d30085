"""Stripe as a gateway. Every call that changes something carries an idempotency key; nothing is tried twice here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from stripe import StripeClient

from models.catalog import Billing, Money
from models.payments.facts import (
    DisputeFact,
    Fact,
    IntentFact,
    InvoiceFact,
    PageFact,
    PageStatus,
    RefundFact,
    SubscriptionFact,
    SubscriptionStatus,
)
from worker.payments import shapes
from worker.payments.gateway import Declined, OpenedIntent, OpenedPage, Refused, Sale
from worker.payments.shapes import CHECKOUT, Object
from worker.payments.stripe_client import our_errors
from worker.payments.stripe_prices import INTERVALS, PlanPrice, Prices

log = structlog.get_logger(__name__)

PAGE_EXPANDS = ["payment_intent", "subscription"]
INTENT_EXPANDS = ["latest_charge"]
INVOICE_EXPANDS = ["payments.data.payment.payment_intent"]
SUBSCRIPTION_EXPANDS = ["schedule"]

TOLD_BY_EVENTS = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "invoice.paid",
    "invoice.payment_failed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
]
"""Events by which the reconciliation learns of changes to what is older; Stripe takes up to twenty types."""

Params = dict[str, Any]


class StripeGateway:
    """One Stripe account. Threads may share it."""

    name = "stripe"

    def __init__(self, client: StripeClient) -> None:
        # Its types want each call's parameters written down in one place; ours are put together from parts.
        self._api: Any = client.v1
        self._prices = Prices(client)

    def create_customer(self, *, user_id: UUID, email: str, key: str) -> str:
        asked: Params = {"metadata": {"user_id": str(user_id)}}
        if email:
            asked["email"] = email
        with our_errors():
            made = self._api.customers.create(asked, _once(key))
        return str(made.id)

    def open_page(self, sale: Sale, *, customer_id: str, success_url: str, cancel_url: str, key: str) -> OpenedPage:
        marks = {CHECKOUT: str(sale.checkout_id)}
        asked: Params = {
            "customer": customer_id,
            "client_reference_id": str(sale.checkout_id),
            "metadata": marks,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if sale.plan is not None and sale.billing is not None:
            price = self._prices.id_of(PlanPrice(sale.plan, sale.title, sale.billing, sale.price))
            about: Params = {"metadata": marks}
            if sale.trial_days:
                about["trial_period_days"] = sale.trial_days
            asked |= {
                "mode": "subscription",
                "line_items": [{"price": price, "quantity": 1}],
                "subscription_data": about,
            }
        else:
            # The price is the checkout's own, whatever is sold for how much by the time it is paid.
            asked |= {
                "mode": "payment",
                "line_items": [{"quantity": 1, "price_data": _price_data(sale)}],
                "payment_intent_data": {"metadata": marks, "description": sale.title},
                "payment_method_options": {"card": {"setup_future_usage": "off_session"}},
            }
        with our_errors():
            made = self._api.checkout.sessions.create(asked, _once(key))
        return OpenedPage(id=made.id, url=made.url or "", expires_at=datetime.fromtimestamp(made.expires_at, UTC))

    def open_intent(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        # Cards are kept for later, for those who want automatic top-ups; ways to pay that cannot be kept stay possible.
        kept = {"payment_method_options": {"card": {"setup_future_usage": "off_session"}}}
        return self._begin({**_payment(sale, customer_id), **kept}, key)

    def charge_saved_card(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        card = self._saved_card(customer_id)
        if card is None:
            raise Declined("no_saved_card", "There is no saved card.")
        now = {"payment_method": card, "off_session": True, "confirm": True}
        return self._begin({**_payment(sale, customer_id), **now}, key)

    def close(self, gateway_id: str) -> None:
        is_page = gateway_id.startswith("cs_")
        services = self._api
        end: Callable[..., Any] = services.checkout.sessions.expire if is_page else services.payment_intents.cancel
        try:
            with our_errors():
                end(gateway_id, None, _once(f"close:{gateway_id}"))
        except Refused:
            open_still = self.page(gateway_id).status is PageStatus.open if is_page else False
            if open_still or (not is_page and self.intent(gateway_id).status == "waiting"):
                raise

    def page(self, gateway_id: str) -> PageFact:
        return shapes.page(self._get(self._api.checkout.sessions.retrieve, gateway_id, PAGE_EXPANDS))

    def intent(self, gateway_id: str) -> IntentFact:
        return shapes.intent(self._get(self._api.payment_intents.retrieve, gateway_id, INTENT_EXPANDS))

    def invoice(self, gateway_id: str) -> InvoiceFact:
        found = self._get(self._api.invoices.retrieve, gateway_id, INVOICE_EXPANDS)
        return shapes.invoice(found, self._prices.get)

    def subscription(self, gateway_id: str) -> SubscriptionFact:
        return shapes.subscription(self._subscription(gateway_id), self._prices.get)

    def refund(self, gateway_id: str) -> RefundFact:
        return shapes.refund(self._get(self._api.refunds.retrieve, gateway_id))

    def refunds_of(self, *, charge_id: str) -> list[RefundFact]:
        with our_errors():
            listed = self._api.refunds.list({"charge": charge_id, "limit": 100})
            return [shapes.refund(each.to_dict()) for each in listed.auto_paging_iter()]

    def dispute(self, gateway_id: str) -> DisputeFact:
        return shapes.dispute(self._get(self._api.disputes.retrieve, gateway_id))

    def change_plan(
        self, subscription: SubscriptionFact, *, plan: str, billing: Billing, price: Money, prorate: bool, key: str
    ) -> SubscriptionFact:
        found = self._subscription(subscription.id)
        price_id = self._prices.id_of(PlanPrice(plan, plan, billing, price))
        if not prorate and price_id != _price_id(found):
            self._schedule(found, price_id, INTERVALS[billing], key)
            return self.subscription(subscription.id)
        # What was to follow is no more.
        self._release(found, key)
        if not prorate:
            return self.subscription(subscription.id)
        return self._update(
            subscription.id,
            {
                "items": [{"id": subscription.item_id, "price": price_id}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
            key,
        )

    def cancel(self, subscription_id: str, *, at_period_end: bool, key: str) -> SubscriptionFact:
        if at_period_end:
            self._release(self._subscription(subscription_id), key)
            return self._update(subscription_id, {"cancel_at_period_end": True}, key)
        try:
            with our_errors():
                self._api.subscriptions.cancel(subscription_id, None, _once(key))
        except Refused:
            if self.subscription(subscription_id).status is not SubscriptionStatus.canceled:
                raise
        return self.subscription(subscription_id)

    def resume(self, subscription_id: str, *, key: str) -> SubscriptionFact:
        return self._update(subscription_id, {"cancel_at_period_end": False}, key)

    def give_back(self, *, intent_id: str, amount: int, key: str) -> RefundFact:
        with our_errors():
            made = self._api.refunds.create({"payment_intent": intent_id, "amount": amount}, _once(key))
        return shapes.refund(made.to_dict())

    def portal(self, *, customer_id: str, return_url: str) -> str:
        # Each visit is one of its own: a key that came again would give an address that is over.
        with our_errors():
            made = self._api.billing_portal.sessions.create(
                {"customer": customer_id, "return_url": return_url}, _once(f"portal:{uuid4()}")
            )
        return str(made.url)

    def changes_since(self, moment: datetime) -> Iterator[Fact]:
        """What was made since then, by Stripe's lists, and what changed of older things, by its events, told or not."""
        looks: dict[str, Callable[[str], Fact]] = {
            "checkout.session": self.page,
            "payment_intent": self.intent,
            "invoice": self.invoice,
            "subscription": self.subscription,
            "refund": self.refund,
            "dispute": self.dispute,
        }
        for kind, gateway_id in self._changed(int(moment.timestamp())):
            try:
                yield looks[kind](gateway_id)
            except Refused as refused:
                # One thing that cannot be had, such as one deleted since, must not keep us from all others.
                log.warning("gateway_object_skipped", kind=kind, id=gateway_id, code=refused.code)

    def let_time_pass(self) -> None:
        """Stripe has a clock of its own."""

    def _changed(self, since: int) -> dict[tuple[str, str], None]:
        """Kind and id of all that may have changed, each once."""
        services = self._api
        asked: Params = {"created": {"gte": since}, "limit": 100}
        lists: list[tuple[Any, Params]] = [
            (services.checkout.sessions, asked),
            (services.payment_intents, asked),
            (services.invoices, asked),
            (services.subscriptions, {**asked, "status": "all"}),
            (services.refunds, asked),
            (services.disputes, asked),
        ]
        found: dict[tuple[str, str], None] = {}
        with our_errors():
            for service, params in lists:
                found |= {(each.object, each.id): None for each in service.list(params).auto_paging_iter()}
            events = services.events.list({**asked, "types": TOLD_BY_EVENTS})
            for event in events.auto_paging_iter():
                told = event.data.object
                found[(told["object"], told["id"])] = None
        return found

    def _get(self, retrieve: Callable[..., Any], gateway_id: str, expands: list[str] | None = None) -> Object:
        with our_errors():
            found: Object = retrieve(gateway_id, {"expand": expands} if expands else None).to_dict()
        return found

    def _subscription(self, gateway_id: str) -> Object:
        return self._get(self._api.subscriptions.retrieve, gateway_id, SUBSCRIPTION_EXPANDS)

    def _update(self, subscription_id: str, asked: Params, key: str) -> SubscriptionFact:
        with our_errors():
            self._api.subscriptions.update(subscription_id, asked, _once(key))
        return self.subscription(subscription_id)

    def _begin(self, asked: Params, key: str) -> OpenedIntent:
        with our_errors():
            made = self._api.payment_intents.create(
                {**asked, "expand": INTENT_EXPANDS},
                _once(key),
            )
        return OpenedIntent(id=made.id, client_secret=made.client_secret or "", fact=shapes.intent(made.to_dict()))

    def _saved_card(self, customer_id: str) -> str | None:
        """The card that the customer chose to pay with, or else the one that was saved last."""
        with our_errors():
            customer = self._api.customers.retrieve(customer_id).to_dict()
            chosen = (customer.get("invoice_settings") or {}).get("default_payment_method")
            if chosen:
                return str(chosen)
            cards = self._api.payment_methods.list({"customer": customer_id, "type": "card", "limit": 1})
        return str(cards.data[0].id) if cards.data else None

    def _schedule(self, found: Object, price_id: str, interval: str, key: str) -> None:
        """Let the subscription go on as it is to the end of its period, and at another price from there."""
        schedules = self._api.subscription_schedules
        with our_errors():
            known = (
                found.get("schedule")
                or schedules.create({"from_subscription": found["id"]}, _once(f"{key}:schedule")).to_dict()
            )
            now = known.get("current_phase") or known["phases"][0]
            present: Params = {
                "items": [{"price": _price_id(found), "quantity": 1}],
                "start_date": now["start_date"],
                "end_date": int(shapes.subscription(found, self._prices.get).period_ends_at.timestamp()),
                "proration_behavior": "none",
            }
            if found["status"] == "trialing":
                present["trial_end"] = found["trial_end"]
            following: Params = {
                "items": [{"price": price_id, "quantity": 1}],
                "duration": {"interval": interval, "interval_count": 1},
                "proration_behavior": "none",
            }
            schedules.update(
                known["id"],
                {"end_behavior": "release", "proration_behavior": "none", "phases": [present, following]},
                _once(key),
            )

    def _release(self, found: Object, key: str) -> None:
        """Take a subscription out of its schedule, if it has one: what it is now it stays."""
        if schedule := found.get("schedule"):
            with our_errors():
                self._api.subscription_schedules.release(schedule["id"], None, _once(f"{key}:release"))


def _once(key: str) -> Any:
    return {"idempotency_key": key}


def _payment(sale: Sale, customer_id: str) -> Params:
    return {
        "amount": sale.price.amount,
        "currency": sale.price.currency.lower(),
        "customer": customer_id,
        "description": sale.title,
        "metadata": {CHECKOUT: str(sale.checkout_id)},
    }


def _price_data(sale: Sale) -> Params:
    return {
        "currency": sale.price.currency.lower(),
        "unit_amount": sale.price.amount,
        "product_data": {"name": sale.title},
    }


def _price_id(found: Object) -> str:
    item = found["items"]["data"][0]
    return str((item.get("price") or item["plan"])["id"])
