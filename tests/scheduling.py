"""Which process runs which tests: those that share a whole running Coinop, or users who did everything one can do, go
to one, so that these are made once.

They begin first, as they are many and wait most of the time; then come the longest of the others, so that no process
is left alone with one of them in the end.

pytest-xdist has groups for this, but its release 3.8 notes a test's group in a place where pytest 9.2 no longer looks
for it, and the groups fall apart without a word. So tests are told by their ids.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

LONG = re.compile(
    "tests/races/|tests/services/|test_canaries|test_document|test_properties|test_batches|test_statement_files"
    "|test_pictures"
)
"""Tests that take a second or more."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests in front."""
    items.sort(key=lambda item: not LONG.search(item.nodeid))


def group(nodeid: str) -> str | None:
    """The name that tests have in common which share a whole running Coinop, or users; None for all others."""
    if nodeid.startswith("tests/security/test_row_level.py"):
        return "users behind walls"
    if nodeid.startswith("tests/services/"):
        return "house with services"
    if nodeid.startswith(("tests/rabbitmq/test_house.py", "tests/rabbitmq/test_publishing.py")):
        return "house on rabbitmq"
    shared = re.match(r"tests/(system|presets)/.*[\[-](sqlite|postgresql)\b", nodeid)
    if shared is None:
        return None
    folder, database = shared.groups()
    return "houses on sqlite" if database == "sqlite" else f"{folder} on postgresql"


class HouseByHouse(LoadGroupScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Hands out together what shares a Coinop, and all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid) or nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> HouseByHouse:
    return HouseByHouse(config, log)
