"""The pages in docs say what is there: functions, calls, codes, files that they link to."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from config import ROOT
from web import example_problems

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]
FRONTEND = ROOT / "docs" / "frontend.md"
IN_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    """The headings of a page, as they are linked to."""
    titles = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(IN_CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_walks_name_functions_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = re.findall(r"`((?:web|models|worker|tasks)(?:\.\w+)+)`", text)
    assert len(names) > 40
    assert [name for name in names if not _exists(name)] == []


def test_the_walks_name_nothing_made_up() -> None:
    assert _exists("models.jobs.runs.claim")
    assert not _exists("models.jobs.runs.claims")


def _exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_the_guide_for_front_ends_names_calls_that_exist(app: Any) -> None:
    paths = app.api_doc["paths"]
    wrong = []
    for methods, path in re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE)(?: [A-Z]+)*) (/v1/[^`?]*)", FRONTEND.read_text()):
        wrong += [f"{method} {path}" for method in methods.split() if method.lower() not in paths.get(path, {})]
    assert wrong == []


def test_the_guide_for_front_ends_knows_every_code(app: Any) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", FRONTEND.read_text(), re.MULTILINE))
    known = {code: str(refusal.status) for code, refusal in example_problems.refusals().items()}
    known |= {code: str(status) for code, (status, _) in example_problems.OTHERS.items()}
    assert rows == {**known, "internal_error": "500"}
