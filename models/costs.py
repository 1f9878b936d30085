"""Costs: what providers bill for what they used, worked out in millionths of a US dollar by the rates of a model.

Rates are US dollars as decimal strings, so nothing is ever a binary fraction; what a single call costs is rounded up
to a whole millionth once, at the end. A model without rates has a cost that is not known, which is not nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictStr, model_validator

MOST_MICROS = 2**53 - 1
"""A cost above that is taken for a mistake of whoever counted, and is not known."""

PLACES = 9
"""Decimal places that a rate may have: some bill by thousandths of a millionth a second."""

A_MILLION = 1_000_000


def _decimal(text: str) -> str:
    whole, _, rest = text.partition(".")
    digits = whole + rest
    good = digits.isascii() and digits.isdecimal() and whole and (rest or "." not in text)
    if not good or len(whole) > 6 or len(rest) > PLACES:
        raise ValueError(f'expected US dollars in quotes, such as "0.15", with at most {PLACES} places')
    return text


UsDollars = Annotated[StrictStr, AfterValidator(_decimal)]


class ModelCost(BaseModel):
    """What one model costs: tokens and characters by the million, all else each.

    `cached_input_tokens` are part of the `input_tokens` that are used, and cost as much as the others unless they have
    a rate of their own. Whatever is used and has no rate costs nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input_tokens: UsDollars | None = None
    cached_input_tokens: UsDollars | None = None
    output_tokens: UsDollars | None = None
    characters: UsDollars | None = None
    images: UsDollars | None = None
    seconds: UsDollars | None = None
    predict_seconds: UsDollars | None = None
    moderations: UsDollars | None = None

    @model_validator(mode="before")
    @classmethod
    def _some_rate(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError(f"expected at least one rate ({', '.join(cls.model_fields)})")
        return value

    def micros(self, usage: Mapping[str, int]) -> int | None:
        """What this usage costs, in millionths of a US dollar; None when it names nothing that has a rate."""
        used = dict(usage)
        if self.cached_input_tokens is not None:
            used["input_tokens"] = used.get("input_tokens", 0) - used.get("cached_input_tokens", 0)
        rates = {name: rate for name in PER_UNIT if (rate := getattr(self, name)) is not None}
        if not rates.keys() & usage.keys():
            return None
        # In 10^-15 of a dollar: rates have nine places, and some are by the million.
        total = sum(_nano(rate) * max(used.get(name, 0), 0) * PER_UNIT[name] for name, rate in rates.items())
        micros = -(-total // 10**9)
        return micros if micros <= MOST_MICROS else None


PER_UNIT: Mapping[str, int] = {
    **dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "characters"), 1),
    **dict.fromkeys(("images", "seconds", "predict_seconds", "moderations"), A_MILLION),
}
"""What can have a rate, and how many millionths of it one unit costs."""


def _nano(rate: str) -> int:
    whole, _, rest = rate.partition(".")
    return int(whole + rest.ljust(PLACES, "0"))


def micros(costs: Mapping[str, ModelCost], model: str, usage: Mapping[str, int]) -> int | None:
    """What a usage of this model costs, in millionths of a US dollar; None when that is not known."""
    return costs[model].micros(usage) if model in costs else None


def usd(micros: int) -> str:
    """Millionths of a US dollar as people read them: `0.012345`."""
    return f"{micros // A_MILLION:,}.{micros % A_MILLION:06d}"
