"""Money as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_MINOR_UNITS = frozenset((
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
))  # fmt: skip
THREE_DIGITS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
"""Currencies that have other minor units than hundredths (ISO 4217). A library that formats for a country's habits
would take other digits: of Iraqi or Serbian dinars, say, nobody pays the fractions that a price is counted in."""


def money(price: Mapping[str, Any]) -> str:
    """`{"amount": 1299, "currency": "EUR"}` as `12.99 EUR`."""
    amount, currency = int(price["amount"]), str(price["currency"])
    digits = 0 if currency in NO_MINOR_UNITS else 3 if currency in THREE_DIGITS else 2
    whole, rest = divmod(abs(amount), 10**digits)
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{fraction} {currency}"
