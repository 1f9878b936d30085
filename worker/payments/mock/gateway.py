"""The mock gateway: takes no money, and has everything else that Stripe has, as far as Coinop asks for it.

Its objects have Stripe's shapes and are turned into facts by the same code; what happens to them is posted, signed as
Stripe signs, to the same webhook. Customers are played on its own pages (`web/mock_checkout.py`), or by `Counter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.catalog import Billing, Money
from models.database import readings
from models.payments import mock_objects
from models.payments.facts import (
    DisputeFact,
    Fact,
    IntentFact,
    InvoiceFact,
    PageFact,
    RefundFact,
    SubscriptionFact,
)
from worker.payments import shapes
from worker.payments.gateway import Declined, OpenedIntent, OpenedPage, Refused, Sale, Unreachable
from worker.payments.mock import bank, billing, counter
from worker.payments.mock.invoices import whole
from worker.payments.mock.till import Object, Till, new_id, till
from worker.payments.shapes import CHECKOUT

OPEN_SECONDS = 24 * 3600
"""How long a page can be paid, as at Stripe."""

PAGE_OF_DUE = 100


class MockGateway:
    """Threads and processes share it: all it knows is in the database."""

    name = "mock"

    def create_customer(self, *, user_id: UUID, email: str, key: str) -> str:
        def make(at: Till) -> Object:
            marks = {"user_id": str(user_id)}
            settings = {"default_payment_method": None}
            return at.new("customer", "cus", email=email or None, metadata=marks, invoice_settings=settings)

        return self._once(key, {"call": "create_customer", "user": str(user_id), "email": email}, make)

    def open_page(self, sale: Sale, *, customer_id: str, success_url: str, cancel_url: str, key: str) -> OpenedPage:
        def make(at: Till) -> Object:
            at.take(customer_id)
            made = at.new(
                "checkout.session", "cs", customer=customer_id, mode="subscription" if sale.plan else "payment",
                status="open", payment_status="unpaid", amount_total=0 if sale.trial_days else sale.price.amount,
                currency=sale.price.currency.lower(), client_reference_id=str(sale.checkout_id),
                metadata={CHECKOUT: str(sale.checkout_id)}, success_url=success_url, cancel_url=cancel_url,
                payment_intent=None, subscription=None, invoice=None, expires_at=at.now + OPEN_SECONDS,
                _title=sale.title, _price=self._price(at, sale), _trial_days=sale.trial_days, _intent=None,
                _card=None, _due=at.now + OPEN_SECONDS,
            )  # fmt: skip
            made["url"] = f"{at.public_url}/mock-checkout/{made['id']}"
            return made

        asked = {**_asked(sale), "call": "open_page", "to": [success_url, cancel_url], "customer": customer_id}
        made = self._show(self._once(key, asked, make))
        expires_at = datetime.fromtimestamp(made["expires_at"], UTC)
        return OpenedPage(id=made["id"], url=made["url"] or "", expires_at=expires_at)

    def open_intent(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        asked = {**_asked(sale), "call": "open_intent", "customer": customer_id}
        return self._opened(self._once(key, asked, lambda at: _new_intent(at, sale, customer_id)))

    def charge_saved_card(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        def make(at: Till) -> Object | str:
            saved = at.take(customer_id)["invoice_settings"]["default_payment_method"]
            cards = at.where("payment_method", customer=customer_id)
            if not (saved or cards):
                return "no_saved_card"
            made = _new_intent(at, sale, customer_id)
            if bank.charge(at, made, at.take(saved or cards[-1]["id"]), present=False):
                return made
            return str(made["last_payment_error"]["decline_code"])

        return self._opened(self._once(key, {**_asked(sale), "call": "charge", "customer": customer_id}, make))

    def close(self, gateway_id: str) -> None:
        with till() as at:
            try:
                counter.expire(at, gateway_id)
            except Refused as refused:
                if refused.code == "resource_missing":
                    raise

    def page(self, gateway_id: str) -> PageFact:
        found = self._show(gateway_id)
        expanded = {name: found[name] and self._show(found[name]) for name in ("payment_intent", "subscription")}
        return shapes.page({**found, **expanded})

    def intent(self, gateway_id: str) -> IntentFact:
        found = self._show(gateway_id)
        return shapes.intent({**found, "latest_charge": found["latest_charge"] and self._show(found["latest_charge"])})

    def invoice(self, gateway_id: str) -> InvoiceFact:
        return shapes.invoice(whole(self._show(gateway_id), self._show), self._show)

    def subscription(self, gateway_id: str) -> SubscriptionFact:
        found = self._show(gateway_id)
        plan = found["schedule"] and self._show(found["schedule"])
        return shapes.subscription({**found, "schedule": plan}, self._show)

    def refund(self, gateway_id: str) -> RefundFact:
        return shapes.refund(self._show(gateway_id))

    def refunds_of(self, *, charge_id: str) -> list[RefundFact]:
        with readings() as session:
            return [shapes.refund(each) for each in mock_objects.where(session, "refund", charge=charge_id)]

    def dispute(self, gateway_id: str) -> DisputeFact:
        return shapes.dispute(self._show(gateway_id))

    def change_plan(
        self, subscription: SubscriptionFact, *, plan: str, billing: Billing, price: Money, prorate: bool, key: str
    ) -> SubscriptionFact:
        sold = {"plan": plan, "billing": billing, "price": price, "title": plan}
        change = _change_now if prorate else _change_later
        asked = {"call": "change", "of": subscription.id, "plan": plan, "billing": str(billing), "now": prorate}
        asked |= {"amount": price.amount, "currency": price.currency}
        self._once(key, asked, lambda at: change(at, subscription.id, sold))
        return self.subscription(subscription.id)

    def cancel(self, subscription_id: str, *, at_period_end: bool, key: str) -> SubscriptionFact:
        def do(at: Till) -> Object:
            billing.stop(at, subscription_id, at_period_end=at_period_end)
            return at.take(subscription_id)

        self._once(key, {"call": "cancel", "of": subscription_id, "at_period_end": at_period_end}, do)
        return self.subscription(subscription_id)

    def resume(self, subscription_id: str, *, key: str) -> SubscriptionFact:
        def do(at: Till) -> Object:
            billing.resume(at, subscription_id)
            return at.take(subscription_id)

        self._once(key, {"call": "resume", "of": subscription_id}, do)
        return self.subscription(subscription_id)

    def give_back(self, *, intent_id: str, amount: int, key: str) -> RefundFact:
        asked = {"call": "give_back", "of": intent_id, "amount": amount}
        return self.refund(self._once(key, asked, lambda at: bank.give_back(at, intent_id, amount)))

    def portal(self, *, customer_id: str, return_url: str) -> str:
        with till() as at:
            at.take(customer_id)
            made = at.new("billing_portal.session", "bps", customer=customer_id, return_url=return_url)
            made["url"] = f"{at.public_url}/mock-checkout/{made['id']}"
        return str(made["url"])

    def changes_since(self, moment: datetime) -> Iterator[Fact]:
        looks: dict[str, Callable[[str], Fact]] = {
            "checkout.session": self.page,
            "payment_intent": self.intent,
            "invoice": self.invoice,
            "subscription": self.subscription,
            "refund": self.refund,
            "dispute": self.dispute,
        }
        with readings() as session:
            changed = mock_objects.changed_since(session, moment, kinds=looks)
        for kind, object_id in changed:
            yield looks[kind](object_id)

    def let_time_pass(self) -> None:
        """Renew what is to be renewed, try again what failed, close the pages that nobody came back to."""
        acts = {
            "checkout.session": counter.time_passed,
            "subscription": billing.time_passed,
            "invoice": billing.retry,
        }
        while True:
            with readings() as session:
                due = mock_objects.due(session, limit=PAGE_OF_DUE)
            for kind, object_id in due:
                with till() as at:
                    acts[kind](at, object_id)
            if len(due) < PAGE_OF_DUE:
                return

    def _show(self, object_id: str) -> Object:
        with readings() as session:
            found = mock_objects.find(session, object_id)
        if found is None:
            raise Refused("resource_missing", "The mock gateway has no such object.")
        return found

    def _once(self, key: str, asked: dict[str, Any], do: Callable[[Till], Object | str]) -> str:
        """Do something once for each key, and return the id of what came of it; `do` returns that, or why the card was
        declined. Raises `GatewayError`."""
        with till() as at:
            try:
                answer = mock_objects.claim_key(at.session, request_id=new_id("req"), key=key, asked=asked)
            except mock_objects.KeyReused:
                raise Unreachable("gateway_conflict", "The mock gateway knows this call already.") from None
            if answer is None:
                made = do(at)
                answer = {"declined": made} if isinstance(made, str) else {"id": made["id"]}
                mock_objects.answer_key(at.session, key=key, asked=asked, answer=answer)
        if "declined" in answer:
            raise Declined(answer["declined"], "The card was declined.")
        return str(answer["id"])

    def _opened(self, object_id: str) -> OpenedIntent:
        return OpenedIntent(
            id=object_id, client_secret=self._show(object_id)["client_secret"], fact=self.intent(object_id)
        )

    @staticmethod
    def _price(at: Till, sale: Sale) -> str | None:
        if sale.plan is None or sale.billing is None:
            return None
        made = billing.price_of(at, plan=sale.plan, billing=sale.billing, price=sale.price, title=sale.title)
        return str(made["id"])


def _change_now(at: Till, object_id: str, sold: dict[str, Any]) -> Object | str:
    declined = billing.change(at, object_id, billing.price_of(at, **sold))
    return declined or at.take(object_id)


def _change_later(at: Till, object_id: str, sold: dict[str, Any]) -> Object:
    billing.schedule(at, object_id, billing.price_of(at, **sold))
    return at.take(object_id)


def _new_intent(at: Till, sale: Sale, customer_id: str) -> Object:
    at.take(customer_id)
    made = bank.new_intent(
        at, customer=customer_id, amount=sale.price.amount, currency=sale.price.currency.lower(),
        description=sale.title, metadata={CHECKOUT: str(sale.checkout_id)},
    )  # fmt: skip
    made["_card"] = None
    return made


def _asked(sale: Sale) -> dict[str, Any]:
    return {
        "checkout": str(sale.checkout_id), "title": sale.title, "amount": sale.price.amount,
        "currency": sale.price.currency, "plan": sale.plan, "billing": sale.billing and str(sale.billing),
        "trial_days": sale.trial_days,
    }  # fmt: skip
