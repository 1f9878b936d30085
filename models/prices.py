"""Prices: what an action costs, worked out in whole credits from the catalog and the input.

A price form is a model with two methods: `estimate` gives the breakdown that is held, `actual` what is charged once
the provider has delivered. Each form is one class here and one member of `Price`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.ledger import MOST_CREDITS

Credits = Annotated[int, Field(ge=0, le=MOST_CREDITS, strict=True)]


class Part(BaseModel):
    """One line of a price: what it is for and how many credits."""

    model_config = ConfigDict(frozen=True)
    label: str
    amount: Credits


class FixedPrice(BaseModel):
    """The same for every input."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    form: Literal["fixed"] = "fixed"
    amount: Credits

    def estimate(self, label: str, given: dict[str, Any]) -> list[Part]:
        """The parts of the price for this input; their sum is what is held."""
        return [Part(label=label, amount=self.amount)]


Price = FixedPrice
"""Every price form there is; a tagged union by `form` once there are several."""


def total(parts: list[Part]) -> int:
    """The price: the sum of its parts, in credits."""
    return sum(part.amount for part in parts)


def actual(held: int, delivered_percent: int) -> int:
    """What to charge for work that was delivered to this percentage, in credits: rounded down, never above `held`."""
    return min(held, held * max(delivered_percent, 0) // 100)
