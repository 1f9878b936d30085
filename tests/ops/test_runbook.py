"""The runbook: every alert and every line of the doctor is in it, and what it says to type can be typed."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

import click
import pytest
import yaml
from sqlalchemy import text

from config import ROOT
from models.database import readings
from ops import doctor

DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "deployment").glob("*.md")])
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", RUNBOOK, re.MULTILINE))
STATEMENTS = [
    line for block in re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL) for line in block.splitlines() if line
]
COMMAND = re.compile(r"(?<![\w-])flask (?:--app wsgi )?(?=[a-z])([a-z-]+)(?: ([a-z-]+))?")


def test_every_section_says_what_it_means_what_to_see_what_to_do_and_whom_to_wake() -> None:
    for title, body in SECTIONS.items():
        for part in ("- **Means**", "- **See more:**", "- **Do:**", "- **Wake somebody**"):
            assert part in body, (title, part)


def test_every_alert_has_its_section() -> None:
    rules = yaml.safe_load((ROOT / "ops" / "monitoring" / "alerts.yml").read_text())["groups"]
    alerts = {(rule["alert"], rule["labels"]["severity"]) for group in rules for rule in group["rules"]}
    told = re.findall(r"`(Coinop\w+)` \((page|ticket)\)", "".join(SECTIONS.values()))
    assert sorted(told) == sorted(alerts), "each once, with its severity"


def test_every_line_of_the_doctor_has_its_section() -> None:
    said = "".join(line for body in SECTIONS.values() for line in re.findall(r"^Lines? .*", body, re.MULTILINE))
    for check in {*doctor.FIRST, *doctor.REST} - {"settings"}:
        assert f"`{check}`" in said, check
    assert "Settings" in SECTIONS


def test_links_into_the_runbook_lead_somewhere() -> None:
    anchors = {title.lower().replace(" ", "-") for title in SECTIONS}
    links = re.findall(r"\]\(#([a-z-]+)\)", RUNBOOK)
    for path in (ROOT / "ops").rglob("*.py"):
        links += re.findall(r"docs/runbook\.md#([a-z-]+)", path.read_text())
    assert len(links) > 10
    assert set(links) <= anchors | {""}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_run(database: str, statement: str) -> None:
    with readings() as session:
        session.execute(text(statement)).all()


def test_every_command_in_the_documents_exists() -> None:
    # Its relay would publish what other tests stage, as soon as one of them has a broker.
    with mock.patch("web.relay.start"), mock.patch("web.announcer.start"):
        from wsgi import app
    named = {found.groups() for path in DOCS for found in COMMAND.finditer(path.read_text())}
    assert len(named) > 20
    runner: Any = app.test_cli_runner()
    for first, second in sorted(named, key=str):
        command = app.cli.commands.get(first)
        assert command is not None, f"flask {first}"
        path = [first]
        if isinstance(command, click.Group) and second is not None:
            assert second in command.commands, f"flask {first} {second}"
            path.append(second)
        told = runner.invoke(args=[*path, "--help"])
        assert told.exit_code == 0, (path, told.output)
