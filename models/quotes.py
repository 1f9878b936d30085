"""Quotes: what a request amounts to for this caller, before anything is touched.

The input is checked, the plan consulted and the price worked out. A quote becomes a job (`models/jobs/`) or a spend
(`models/spends.py`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from models import prices, settling
from models.catalog import Action, Catalog
from models.errors import Fault, InvalidInput
from models.kinds import SPEND, AnyKind, parse_input, parse_options
from models.plans.entitlements import Entitlements, FairUse
from models.prices import Part


@dataclass(frozen=True, slots=True)
class Quote:
    """A request that can be carried out: its input checked, its price worked out.

    `given` is what the caller gave, `options` what the action fixes about its kind. `price` is in credits of `wallet`,
    the sum of `parts`. `fair_use` is that under which it is free, if it is;
    `priority` puts a job in the queue that is served first; `settling` is how its charge follows what is made, if it
    does.
    """

    action: str
    kind: AnyKind
    wallet: str
    given: dict[str, Any]
    options: dict[str, Any]
    parts: tuple[Part, ...]
    price: int
    fair_use: FairUse | None
    priority: bool
    cancel_charge: int
    settling: dict[str, Any] | None = None

    @property
    def runs(self) -> bool:
        """Whether a job does it; otherwise it is a spend."""
        return self.kind != SPEND

    @property
    def input(self) -> dict[str, Any]:
        """What a provider is told: what the caller gave, and the action's options."""
        return {**self.given, "options": self.options} if self.options else self.given

    @property
    def breakdown(self) -> list[dict[str, Any]]:
        return [part.model_dump() for part in self.parts]

    def digest(self, *more: Any) -> str:
        """The same for two requests that ask for the same, whatever the catalog has become between them."""
        return hashlib.sha256(json.dumps([self.action, self.given, *more], sort_keys=True).encode()).hexdigest()


def quote(catalog: Catalog, entitled: Entitlements, *, action: str, raw_input: object) -> Quote:
    """Check a request against the catalog and the caller's plan, and price it.

    Raises `InvalidInput` naming each field at fault, and `FeatureRequired`.
    """
    offer: Action = catalog.action(action)
    entitled.allow(catalog, offer)
    given = parse_input(offer.kind, raw_input)
    parts = prices.breakdown(offer.price, offer.title, given.measure(), addons=offer.addons, chosen=given.addons)
    fair_use = entitled.unlimited(action, offer.wallet)
    if fair_use is not None and entitled.held is not None:
        parts = [Part(label=f"{offer.title}: included in {entitled.held.terms.title}", amount=0)]
    return Quote(
        action=action,
        kind=offer.kind,
        wallet=offer.wallet,
        given=given.stored(),
        options=parse_options(offer.kind, offer.options),
        parts=tuple(parts),
        price=prices.total(parts),
        fair_use=fair_use,
        priority=entitled.priority,
        cancel_charge=offer.cancel_charge,
        settling=None if fair_use else settling.terms(offer, given),
    )


def must_run(asked: Quote) -> Quote:
    """The quote, if it is one for a job. Raises `InvalidInput` naming `action`."""
    if not asked.runs:
        raise InvalidInput(Fault("action", "this action runs no job: use POST /v1/spends"))
    return asked


def must_not_run(asked: Quote) -> Quote:
    """The quote, if it is one for a spend. Raises `InvalidInput` naming `action`."""
    if asked.runs:
        raise InvalidInput(Fault("action", "this action runs a job: use POST /v1/jobs"))
    return asked
