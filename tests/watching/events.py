"""Every event that our code logs, found in the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from config import ROOT

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
HERE = ("logs.py", "reporting.py", "tracing", "web", "worker", "tasks", "models")


def _calls(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        event = node.args[0].value
        if not (isinstance(event, str) and event.replace("_", "").isalpha() and event.islower()):
            continue
        ways = [node.func.body, node.func.orelse] if isinstance(node.func, ast.IfExp) else [node.func]
        for way in ways:
            if isinstance(way, ast.Attribute) and way.attr in LEVELS:
                yield event, "error" if way.attr == "exception" else way.attr


def logged() -> dict[str, set[str]]:
    """The events by the level they have."""
    found: dict[str, set[str]] = {}
    for name in HERE:
        place = ROOT / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            for event, level in _calls(path):
                found.setdefault(level, set()).add(event)
    return found
