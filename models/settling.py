"""Settling: what a job is charged for once it is known what was made.

Most actions are charged as ordered, or by the share that its provider says it delivered. One whose `charge` is
"delivered" is priced a second time, by the same price, for the quantity that was really made: 7 seconds of a clip that
was ordered at 10. What that takes is kept with the job, so it is settled by the price it was sold at. The charge is
never more than what is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from models import prices
from models.catalog import Action
from models.kinds import Input
from models.prices import Measured, Price, TablePrice


class Terms(BaseModel):
    """How a job's charge follows what was made: its price, what was ordered, and what its add-ons cost in all."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    price: Price
    quantities: dict[str, int]
    choices: dict[str, str]
    addons: int


def terms(offer: Action, given: Input) -> dict[str, Any] | None:
    """What is kept with a job of this action for its settling; None when it is charged as ordered."""
    if offer.charge != "delivered":
        return None
    measured = given.measure()
    kept = Terms(
        price=offer.price,
        quantities={name: measured.quantities[name] for name in sorted(offer.price.quantities())},
        choices={name: measured.choices[name] for name in offer.price.choices()},
        addons=sum(offer.addons[name].amount for name in given.addons),
    )
    return kept.model_dump(mode="json")


def charge(
    kept: Mapping[str, Any] | None, *, held: int, usage: Mapping[str, int], delivered_percent: int
) -> int:  # fmt: skip
    """What to charge of `held`, in credits.

    `usage` is what was made, where the job's terms ask for it; a provider that does not say is believed by its
    `delivered_percent`. Where nothing was made, nothing is charged, whatever was added on.
    """
    if kept is None:
        return prices.actual(held, delivered_percent)
    agreed = Terms.model_validate(kept)
    if any(name not in usage for name in agreed.quantities):
        return prices.actual(held, delivered_percent)
    made = {name: min(max(usage[name], 0), ordered) for name, ordered in agreed.quantities.items()}
    if not all(made.values()):
        return 0
    sold = Measured({name: _sold(agreed.price, quantity) for name, quantity in made.items()}, agreed.choices)
    return min(held, sum(amount for _, amount in agreed.price.lines("", sold)) + agreed.addons)


def _sold(price: Price, made: int) -> int:
    """The quantity to pay for: what was made, or the next that is sold at all where that lies between two rows."""
    if not isinstance(price, TablePrice):
        return made
    return next((max(made, row.least) for row in price.rows if made <= row.most), made)
