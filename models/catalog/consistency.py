"""Consistency: what one part of a catalog says of another must be true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from models import prices
from models.catalog.document import Action, Catalog, Period, Plan
from models.errors import Fault
from models.kinds import INPUTS, parse_options

REPORTED = frozenset({"seconds"})
"""The quantities of an order whose real size a provider reports among its usage."""


def faults(catalog: Catalog) -> Iterator[Fault]:
    """Everything in a catalog that names what is not there, each fault by its path."""
    for path, wallet in _wallets(catalog):
        yield from _unknown(path, wallet, "the wallets", catalog.wallets)
    for path, plan in _plans(catalog):
        yield from _unknown(path, plan, "the plans", catalog.plans)
    for name, action in catalog.actions.items():
        yield from _of_action(f"actions.{name}", action, catalog)
    for name, sold in catalog.plans.items():
        yield from _of_plan(f"plans.{name}", sold, catalog)


def _wallets(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for name, action in catalog.actions.items():
        yield f"actions.{name}.wallet", action.wallet
    for number, grant in enumerate(catalog.signup_grants):
        yield f"signup_grants.{number}.wallet", grant.wallet
    for name, pack in catalog.packs.items():
        for wallet in pack.credits:
            yield f"packs.{name}.credits.{wallet}", wallet
        for wallet in pack.bonus:
            yield f"packs.{name}.bonus.{wallet}", wallet
    for name, plan in catalog.plans.items():
        for number, allowance in enumerate(plan.allowances):
            yield f"plans.{name}.allowances.{number}.wallet", allowance.wallet
        for number, free in enumerate(plan.unlimited):
            if free.wallet:
                yield f"plans.{name}.unlimited.{number}.wallet", free.wallet
    for code, promotion in catalog.promotions.items():
        for wallet in promotion.credits:
            yield f"promotions.{code}.credits.{wallet}", wallet
    if catalog.referral:
        yield "referral.wallet", catalog.referral.wallet


def _plans(catalog: Catalog) -> Iterator[tuple[str, str]]:
    if catalog.signup.plan:
        yield "signup.plan", catalog.signup.plan
    for code, promotion in catalog.promotions.items():
        if promotion.plan:
            yield f"promotions.{code}.plan", promotion.plan


def _of_action(path: str, action: Action, catalog: Catalog) -> Iterator[Fault]:
    input_model = INPUTS[action.kind]
    for fault in prices.faults(action.price, quantities=input_model.quantities, choices=input_model.choices()):
        yield Fault(f"{path}.price.{fault.field}", fault.message)
    try:
        parse_options(action.kind, action.options)
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            yield Fault(".".join([f"{path}.options", *map(str, wrong["loc"])]), wrong["msg"])
    if action.charge == "delivered":
        yield from _of_delivery(path, action)
    features = {feature for plan in catalog.plans.values() for feature in plan.features}
    if action.requires and action.requires not in features:
        yield Fault(f"{path}.requires", f"no plan has the feature {action.requires}")


def _of_delivery(path: str, action: Action) -> Iterator[Fault]:
    """Whether the price of an action can follow what is made: it must go by what providers report."""
    counted = action.price.quantities()
    if not counted or not counted <= REPORTED:
        yield Fault(
            f"{path}.charge",
            f"delivered: expected a price that counts {', '.join(REPORTED)}, which is what providers report",
        )


def _of_plan(path: str, plan: Plan, catalog: Catalog) -> Iterator[Fault]:
    seen: set[tuple[str, Period]] = set()
    for number, allowance in enumerate(plan.allowances):
        if (allowance.wallet, allowance.period) in seen:
            yield Fault(f"{path}.allowances.{number}", "expected one allowance for each wallet and period")
        seen.add((allowance.wallet, allowance.period))
    for number, free in enumerate(plan.unlimited):
        if free.action:
            yield from _unknown(f"{path}.unlimited.{number}.action", free.action, "the actions", catalog.actions)
    if plan.trial_days and not any(price.amount for price in plan.prices.values()):
        yield Fault(f"{path}.trial_days", "expected a price that is due after the trial")


def _unknown(path: str, name: str, what: str, known: Iterable[str]) -> Iterator[Fault]:
    names = list(known)
    if name not in names:
        yield Fault(path, f"expected one of {what} {', '.join(names) or '(there are none)'}, got {name}")
