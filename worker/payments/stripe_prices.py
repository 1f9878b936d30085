"""Prices of plans at Stripe: found by their lookup key, made where there is none.

A price never changes at Stripe; another amount is another price with another key. Subscribers keep the price they took
up. Packs need none: their price goes along with each checkout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from stripe import StripeClient

from models.catalog import Billing, Catalog, Money
from worker.payments.gateway import Refused
from worker.payments.shapes import LOOKUP_KEY, Object, lookup_key
from worker.payments.stripe_client import our_errors

INTERVALS = {Billing.monthly: "month", Billing.yearly: "year"}


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """What a plan costs when it is billed so."""

    plan: str
    title: str
    billing: Billing
    price: Money

    @property
    def lookup_key(self) -> str:
        return lookup_key(plan=self.plan, billing=self.billing, amount=self.price.amount, currency=self.price.currency)

    @property
    def product_id(self) -> str:
        return product_id(self.plan)


def product_id(plan: str) -> str:
    """What Stripe knows a plan as: a name of our choice, so that it is made once."""
    return f"{LOOKUP_KEY}_{plan}"


def wanted(catalog: Catalog) -> list[PlanPrice]:
    """The prices of all plans that are sold for money."""
    return [
        PlanPrice(name, plan.title, billing, money)
        for name, plan in catalog.plans.items()
        for billing, money in plan.prices.items()
        if money.amount
    ]


class Prices:
    """The prices of one Stripe account. Raises `GatewayError`."""

    def __init__(self, client: StripeClient) -> None:
        self._client = client
        self._known: dict[str, Object] = {}

    def get(self, price_id: str) -> Object:
        """A price by its id. What it says of its plan never changes, so it is asked for once."""
        if price_id not in self._known:
            with our_errors():
                self._known[price_id] = self._client.v1.prices.retrieve(price_id).to_dict()
        return self._known[price_id]

    def id_of(self, sold: PlanPrice) -> str:
        """The id of the price of a plan, which is made if Stripe has none yet."""
        with our_errors():
            found = self._client.v1.prices.list({"lookup_keys": [sold.lookup_key], "active": True, "limit": 1})
        if found.data:
            return found.data[0].id
        self.create_product(sold)
        return self.create(sold)

    def ours(self) -> dict[str, dict[str, Any]]:
        """All active prices that are ours, by lookup key."""
        with our_errors():
            listed = self._client.v1.prices.list({"active": True, "type": "recurring", "limit": 100})
            found = [price.to_dict() for price in listed.auto_paging_iter()]
        return {
            price["lookup_key"]: price
            for price in found
            if (price.get("lookup_key") or "").startswith(f"{LOOKUP_KEY}:")
        }

    def products(self, plans: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The products of these plans, by plan, as far as there are any."""
        by_id = {product_id(plan): plan for plan in plans}
        if not by_id:
            return {}
        with our_errors():
            listed = self._client.v1.products.list({"ids": list(by_id), "limit": 100})
            return {by_id[each.id]: each.to_dict() for each in listed.auto_paging_iter()}

    def create_product(self, sold: PlanPrice) -> None:
        """Make the product of a plan; one that exists stays as it is."""
        try:
            with our_errors():
                self._client.v1.products.create(
                    {"id": sold.product_id, "name": sold.title, "metadata": {"plan": sold.plan}},
                    # Headers have no letters but ASCII's, and the same key wants the same title.
                    {"idempotency_key": f"product:{sold.product_id}:{sha256(sold.title.encode()).hexdigest()[:16]}"},
                )
        except Refused as refused:
            if refused.code != "resource_already_exists":
                raise

    def rename_product(self, sold: PlanPrice) -> None:
        # A key of its own each time, or a title that comes back within a day would find its first answer again.
        with our_errors():
            self._client.v1.products.update(sold.product_id, {"name": sold.title}, {"idempotency_key": str(uuid4())})

    def create(self, sold: PlanPrice) -> str:
        """Make the price of a plan and return its id; the key moves here from an archived price that had it."""
        with our_errors():
            made = self._client.v1.prices.create(
                {
                    "currency": sold.price.currency.lower(),
                    "unit_amount": sold.price.amount,
                    "recurring": {"interval": INTERVALS[sold.billing]},
                    "product": sold.product_id,
                    "lookup_key": sold.lookup_key,
                    "transfer_lookup_key": True,
                    "metadata": {"plan": sold.plan, "billing": sold.billing},
                },
                {"idempotency_key": f"price:{sold.lookup_key}"},
            )
        return made.id
