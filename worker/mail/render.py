"""Rendering: facts into a subject, plain text and HTML.

Each mail is written once, in `templates/NAME.jinja`, out of parts that look one way in HTML and another in plain text;
so the two never say different things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from models.emails import OPTIONAL, Template
from worker.mail import words

TEMPLATES = Path(__file__).parent / "templates"

ALWAYS = {"name": None, "home": None, "settings_link": None}
"""What every template may ask for, given or not: whom it greets, the front end's address, and where mails like this
one can be turned off."""


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


def render(template: Template, facts: Mapping[str, Any]) -> Rendered:
    """Write a mail out. `facts` are the details of its template, `product`, and `at`, when it began; a missing one is
    an error."""
    given = {**ALWAYS, **dict.fromkeys(OPTIONAL.get(template, ())), **facts}
    plain = _environment("text").get_template(f"{template}.jinja")
    subject = "".join(plain.blocks["subject"](plain.new_context(given)))
    html = _environment("html").get_template(f"{template}.jinja").render(given)
    return Rendered(words.one_line(subject), re.sub(r"\n{3,}", "\n\n", plain.render(given)), html)


@cache
def _environment(form: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(TEMPLATES / form), FileSystemLoader(TEMPLATES)]),
        undefined=StrictUndefined,
        autoescape=form == "html",  # noqa: S701  # plain text has nothing to escape
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "money": words.money,
        "credits": words.credits_of,
        "moment": words.moment,
        "span": words.span,
        "flow": words.flow,
    }
    return environment
