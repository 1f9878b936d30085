"""docs/visibility.md names every metric and every event that there is, and no other."""

from __future__ import annotations

import re

import counters
from config import ROOT
from models import gauges
from tests.watching.events import logged

PAGE = (ROOT / "docs" / "visibility.md").read_text()
NAMED = r"`([a-z_]+)`"


def test_every_event_is_listed_at_its_level() -> None:
    section = PAGE.split("## Log lines")[1].split("\n## ")[0]
    listed = [set(re.findall(NAMED, part)) for part in section.split("\n- ")[1:]]
    by_level = logged()
    swept = set(re.findall(r'_all_pages\("(\w+)"', (ROOT / "tasks" / "maintenance.py").read_text()))
    there = [by_level["critical"], by_level["error"], by_level["warning"], by_level["info"] | swept]
    assert [now - then for now, then in zip(there, listed, strict=True)] == [set()] * 4
    assert [then - now for now, then in zip(there, listed, strict=True)] == [set()] * 4


def test_every_metric_is_listed() -> None:
    there = {"coinop_database_up", "coinop_disk_free_ratio", *(f"coinop_{name}" for name in gauges.HELP)}
    there |= {each.name + ("_total" if each.type == "counter" else "") for each in counters.HERE.collect()}
    section = PAGE.split("### How things stand")[1].split("\n## ")[0]
    rows = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(coinop_\w+)`", rows)) == there
