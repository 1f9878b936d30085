"""The Postman collection, run from top to bottom by Postman's own runner against a whole running Coinop."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.house import House
from tests.system.houses import Houses
from web.commands.documents import POSTMAN

NEWMAN = "newman@6.2.2"


@pytest.fixture(scope="session")
def newman() -> list[str]:
    """The command that runs a collection. Needs node, and npm's registry or its cache."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("this machine has no node (npx): the Postman collection is not run")
    command = [npx, "--yes", NEWMAN]
    try:
        tried = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm gave no {NEWMAN} in time: the Postman collection is not run")
    if tried.returncode:
        pytest.skip(f"npm has no {NEWMAN} here: the Postman collection is not run: {tried.stderr[-300:]}")
    return command


# What it is about is the collection: one database is enough.
@pytest.mark.parametrize("lodging", ["sqlite"], indirect=True)
@pytest.mark.parametrize("selling", ["companion-subscriptions", "default"])
def test_the_collection_runs_from_top_to_bottom(
    houses: Houses, lodging: str, selling: str, newman: list[str], tmp_path: Path
) -> None:
    """On a product that sells everything, and on one that sells jobs alone: what is not sold is skipped."""
    house: House = houses.on(lodging, selling=selling)
    done = subprocess.run(
        [*newman, "run", str(POSTMAN), "--env-var", f"base_url={house.url}", "--color", "off"],
        cwd=tmp_path, env={**os.environ, "NO_UPDATE_NOTIFIER": "1"}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    paid = "Press Pay\n  POST" in done.stdout
    assert paid == (selling == "companion-subscriptions"), "pages are pressed where something is sold, and only there"
