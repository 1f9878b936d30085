"""Prices: what an action costs, worked out in whole credits from the catalog and the input.

A price form is a model with one method: `lines` gives what is charged for an input, line by line. Each form is one
class here and one member of `Price`. There is no floating point, no negative amount, and no total above
`MOST_CREDITS`; what a form cannot price is refused with the field of the input that is at fault.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WrapValidator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from models.errors import Fault, InvalidInput
from models.ledger import MOST_CREDITS

Credits = Annotated[int, Field(ge=0, le=MOST_CREDITS, strict=True)]
Units = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

LONGEST_ADDONS = 20


class Part(BaseModel):
    """One line of a price: what it is for and how many credits."""

    model_config = ConfigDict(frozen=True)
    label: str
    amount: Credits


@dataclass(frozen=True, slots=True)
class Measured:
    """What prices look at: `quantities` are whole numbers of the input, given or estimated from it (seconds of speech
    from the text); `choices` are its options (the resolution)."""

    quantities: Mapping[str, int]
    choices: Mapping[str, str]


Line = tuple[str, int]
"""A label and an amount that nobody has checked yet."""


class _Form(BaseModel, ABC):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def lines(self, title: str, measured: Measured) -> list[Line]:
        """What this input costs, line by line. Raises `InvalidInput` when it has no price."""

    def quantities(self) -> set[str]:
        """The quantities that it looks at."""
        return set()

    def choices(self) -> Mapping[str, Sequence[str]]:
        """The options it looks at, each with the values that have a price."""
        return {}


class FixedPrice(_Form):
    """The same for every input."""

    form: Literal["fixed"] = "fixed"
    amount: Credits

    def lines(self, title: str, measured: Measured) -> list[Line]:
        return [(title, self.amount)]


class PerUnitPrice(_Form):
    """`amount` per started `unit` of a quantity: 1 per started 15 seconds."""

    form: Literal["per_unit"]
    quantity: FieldName
    unit: Units = 1
    amount: Credits

    def lines(self, title: str, measured: Measured) -> list[Line]:
        units = started(measured.quantities[self.quantity], self.unit)
        return [(f"{title}: {units} × {self.amount}", units * self.amount)]

    def quantities(self) -> set[str]:
        return {self.quantity}


class RatePrice(_Form):
    """Per started `unit` of a quantity, at a rate that an option chooses: 5 or 8 a minute by resolution."""

    form: Literal["rate"]
    quantity: FieldName
    unit: Units = 1
    by: FieldName
    rates: Annotated[dict[str, Credits], Field(min_length=1)]

    def lines(self, title: str, measured: Measured) -> list[Line]:
        chosen = measured.choices[self.by]
        if chosen not in self.rates:
            raise InvalidInput(Fault(f"input.{self.by}", f"{chosen} is not sold here; there is {_listed(self.rates)}"))
        units, rate = started(measured.quantities[self.quantity], self.unit), self.rates[chosen]
        return [(f"{title}, {chosen}: {units} × {rate}", units * rate)]

    def quantities(self) -> set[str]:
        return {self.quantity}

    def choices(self) -> Mapping[str, Sequence[str]]:
        return {self.by: tuple(self.rates)}


class Row(BaseModel):
    """One row of a table: `amount` for a quantity of `least` to `most`, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    least: Annotated[int, Field(ge=0, strict=True)]
    most: Annotated[int, Field(ge=0, strict=True)]
    amount: Credits


class TablePrice(_Form):
    """What the row of a quantity says: 25 for 5 seconds, 50 for 8 to 10. Between the rows nothing is sold."""

    form: Literal["table"]
    quantity: FieldName
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rows_ascend(self) -> TablePrice:
        before = -1
        for row in self.rows:
            if not before < row.least <= row.most:
                raise ValueError("rows: expected each to begin above the end of the one before")
            before = row.most
        return self

    def lines(self, title: str, measured: Measured) -> list[Line]:
        asked = measured.quantities[self.quantity]
        for row in self.rows:
            if row.least <= asked <= row.most:
                return [(f"{title}: {asked} {self.quantity}", row.amount)]
        sold = _listed(str(r.least) if r.least == r.most else f"{r.least} to {r.most}" for r in self.rows)
        raise InvalidInput(Fault(f"input.{self.quantity}", f"{asked} is not sold here; there is {sold}"))

    def quantities(self) -> set[str]:
        return {self.quantity}


class LevelPrice(_Form):
    """By the caller's level, within a range: `least` at level 1, `step` more for each level above, up to `most`."""

    form: Literal["level"]
    quantity: FieldName = "level"
    least: Credits
    most: Credits
    step: Credits

    @model_validator(mode="after")
    def _range_ascends(self) -> LevelPrice:
        if self.least > self.most:
            raise ValueError("most: expected at least as much as `least`")
        return self

    def lines(self, title: str, measured: Measured) -> list[Line]:
        level = measured.quantities[self.quantity]
        return [(f"{title}, level {level}", min(self.least + self.step * (max(level, 1) - 1), self.most))]

    def quantities(self) -> set[str]:
        return {self.quantity}


Form = FixedPrice | PerUnitPrice | RatePrice | TablePrice | LevelPrice
FORMS: dict[str, type[Form]] = {
    "fixed": FixedPrice,
    "per_unit": PerUnitPrice,
    "rate": RatePrice,
    "table": TablePrice,
    "level": LevelPrice,
}


def _by_form(value: Any, check: Any) -> Form:
    """Check a price by the form it names, so that its faults have the paths that its author wrote."""
    if isinstance(value, _Form):
        return check(value)  # type: ignore[no-any-return]
    named = value.get("form", "fixed") if isinstance(value, dict) else "fixed"
    if not isinstance(named, str) or named not in FORMS:
        unknown = PydanticCustomError("form", "expected one of {known}", {"known": ", ".join(FORMS)})
        raise ValidationError.from_exception_data("Price", [InitErrorDetails(type=unknown, loc=("form",), input=named)])
    return FORMS[named].model_validate(value)


Price = Annotated[Form, WrapValidator(_by_form)]
"""Every price form there is."""


class Addon(BaseModel):
    """Something that can be ordered on top of an action, for `amount` more."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    amount: Credits


def started(quantity: int, unit: int) -> int:
    """How many units a quantity has started: 0 for none, 1 for up to one, 2 for just over one."""
    return -(-max(quantity, 0) // unit)


def breakdown(
    price: Price, title: str, measured: Measured, *, addons: Mapping[str, Addon], chosen: Sequence[str]
) -> list[Part]:
    """The parts of a price for one input; their sum is what is held.

    Raises `InvalidInput` when the input has no price, an add-on is unknown, or the total is more than anybody can have.
    """
    lines = price.lines(title, measured)
    for place, name in enumerate(chosen):
        if name not in addons:
            raise InvalidInput(Fault(f"input.addons.{place}", f"there is no such add-on; there is {_listed(addons)}"))
        lines.append((addons[name].title, addons[name].amount))
    if sum(amount for _, amount in lines) > MOST_CREDITS:
        raise InvalidInput(Fault("input", f"this costs more than {MOST_CREDITS} credits"))
    return [Part(label=label, amount=amount) for label, amount in lines]


def total(parts: Sequence[Part]) -> int:
    """The price: the sum of its parts, in credits."""
    return sum(part.amount for part in parts)


def actual(held: int, delivered_percent: int) -> int:
    """What to charge for work that was delivered to this percentage, in credits: rounded down, never above `held`."""
    return min(held, held * max(delivered_percent, 0) // 100)


def faults(price: Price, *, quantities: Sequence[str], choices: Mapping[str, Sequence[str]]) -> Iterator[Fault]:
    """What a price looks at that inputs of its kind do not have, each fault by its path under the price."""
    for name in sorted(price.quantities()):
        if name not in quantities:
            yield Fault("quantity", f"expected a quantity of this kind ({_listed(quantities)}), got {name}")
    for name, values in price.choices().items():
        if name not in choices:
            yield Fault("by", f"expected an option of this kind ({_listed(choices)}), got {name}")
            continue
        for value in values:
            if value not in choices[name]:
                yield Fault(f"rates.{value}", f"expected a value of {name} ({_listed(choices[name])})")


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
