"""Templates: each says the same in HTML and in plain text, with whatever facts it may be given."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from config import ROOT
from models.emails import DETAILS, OPTIONAL, Template
from ops.mail_preview import SAMPLES, sample
from worker.mail import words
from worker.mail.render import TEMPLATES, render


class Reader(HTMLParser):
    """What a person sees of a page, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.seen: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "title")
        given = dict(attrs)
        assert tag not in ("table", "img", "script", "link", "iframe")
        assert "src" not in given
        if "href" in given:
            self.links.add(given["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.seen).split())


def test_there_is_a_template_and_a_sample_for_each() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.jinja")} == set(Template) == set(SAMPLES)
    for template, facts in SAMPLES.items():
        assert DETAILS.get(template, frozenset()) <= facts.keys()


@pytest.mark.parametrize("template", Template)
def test_it_says_the_same_twice(template: Template) -> None:
    facts = sample(template, "Corner & <Shop>")
    made = render(template, facts)
    page = Reader(made.html)
    assert "Corner & <Shop>" in made.subject
    assert len(made.subject) < 90
    greeting = f"Hello {facts['name']}," if facts["name"] else "Hello,"
    assert page.text.startswith(f"Corner & <Shop> {greeting} ")
    assert made.text.startswith(f"{greeting}\n\n")
    assert page.links == set(re.findall(r"https?://\S+", made.text))
    assert facts.get("link") is None or facts["link"] in page.links
    assert ("https://app.example.com/profile" in page.links) is (facts["settings_link"] is not None)
    for value in _values(SAMPLES[template]):
        assert value in page.text
        assert value in " ".join(made.text.split())
    for line in made.text.splitlines():
        assert len(line) <= words.LINE or line.startswith("https://"), line
        assert line == line.rstrip()
    assert "prefers-color-scheme: dark" in made.html
    assert "\n\n\n" not in made.text


def _values(facts: dict[str, Any]) -> list[str]:
    """How facts look to a person, where they are shown as they are or as money."""
    shown = [str(facts[name]) for name in ("title", "reference", "wallet", "amount") if name in facts]
    return [*shown, *(["12.99 EUR"] if "price" in facts else [])]


@pytest.mark.parametrize("template", Template)
def test_it_needs_no_more_than_is_certain(template: Template) -> None:
    """Without a front end, a name, and whatever may be left out."""
    facts = {name: fact for name, fact in SAMPLES[template].items() if name not in OPTIONAL.get(template, ())}
    made = render(template, {**facts, "product": "Coinop", "at": "2026-11-21T15:04:35+00:00"})
    assert made.text.startswith("Hello,\n\n")
    assert "None" not in made.text + made.html + made.subject
    assert Reader(made.html).links == ({facts["link"]} if "link" in facts else set())


@pytest.mark.parametrize(
    "template", [template for template in Template if template in DETAILS or "link" in SAMPLES[template]]
)
def test_a_fact_that_is_missing_is_an_error(template: Template) -> None:
    for name in SAMPLES[template].keys() - OPTIONAL.get(template, frozenset()):
        facts = sample(template, "Coinop")
        del facts[name]
        with pytest.raises((UndefinedError, TypeError)):
            render(template, facts)


def test_what_a_user_calls_themselves_is_text() -> None:
    made = render(Template.welcome, {**sample(Template.welcome, "Coinop"), "name": '<a href="https://x.example.com">'})
    assert "x.example.com" not in str(Reader(made.html).links)


def test_a_subject_is_one_line_and_nothing_is_decoded() -> None:
    facts = sample(Template.plan_ended, "Coinop") | {"title": "Premium\r\nBcc: x =?utf-8?q?=0D=0A?="}
    assert render(Template.plan_ended, facts).subject == (
        "Your plan at Coinop has ended: Premium Bcc: x = ?utf-8?q?=0D=0A?="
    )


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1299, "EUR", "12.99 EUR"),
        (5, "USD", "0.05 USD"),
        (0, "USD", "0.00 USD"),
        (123456789, "USD", "1,234,567.89 USD"),
        (1500, "JPY", "1,500 JPY"),
        (1500, "KWD", "1.500 KWD"),
        (10000, "RSD", "100.00 RSD"),
        (-1299, "EUR", "-12.99 EUR"),
    ],
)
def test_money_has_the_minor_units_of_its_currency(amount: int, currency: str, shown: str) -> None:
    assert words.money({"amount": amount, "currency": currency}) == shown


def test_times_and_spans() -> None:
    assert words.moment("2026-11-21T23:30:00-02:00") == "22 November 2026, 01:30 UTC"
    assert words.moment("2026-02-01T09:05:00") == "1 February 2026, 09:05 UTC"
    assert [words.span(hours * 3600) for hours in (1, 24, 72, 30)] == ["1 hour", "24 hours", "3 days", "30 hours"]
    assert words.credits_of([{"title": "Tokens", "amount": 1250}, {"title": "Minutes", "amount": 1}]) == (
        "1,250 Tokens and 1 Minutes"
    )


def test_the_preview_needs_no_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops.mail_preview", str(tmp_path)], cwd=ROOT, env={"COINOP_HOME": "/nowhere"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert str(tmp_path) in done.stdout
    names = {f"{template}{suffix}" for template in Template for suffix in (".html", ".txt")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "receipt.txt").read_text().startswith("Your receipt from Coinop: Starter\n")
