"""Texts that people choose: names of things, and passwords."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of characters, and ends of lines and paragraphs: what a header of
an e-mail, a line of a log or the database would trip over."""


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) in FORBIDDEN for character in text):
        raise ValueError("expected one line, without control characters")
    return text


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_one_line)]
"""A text that fits on one line; say with `Field(max_length=…)` how long it may be."""

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 128
Password = Annotated[
    str, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD, examples=["correct horse battery"])
]
