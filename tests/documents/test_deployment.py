"""The pages about deploying: each block that can be run here is run as it is written, and each other says why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from config import ROOT
from ops import embedded

PAGES = [ROOT / "docs" / "deployment.md", *sorted((ROOT / "docs" / "deployment").glob("*.md"))]
MARK = re.compile(r"^\*(Not run|Run by hand|Run by the tests)\b.*\*$")
BACKUP = (ROOT / "docs" / "deployment" / "backup.md").read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    """Each block of commands, with the line before it."""
    found = re.findall(r"^(.*)\n\n```(?:sh|sql)\n((?:(?!```).*\n)*)```$", page, re.MULTILINE)
    assert len(found) == len(re.findall(r"^```(?:sh|sql)$", page, re.MULTILINE)), "a block without a line before it"
    return found


def under(title: str) -> str:
    """What the tests run of one section, as one script."""
    section = re.search(rf"^## {re.escape(title)}\n((?:(?!## ).*\n)*)", BACKUP, re.MULTILINE)
    assert section is not None, title
    mine = [lines for before, lines in blocks(section[1]) if before.startswith("*Run by the tests")]
    assert len(mine) == 2, title
    return "\n".join(mine)


def run(script: str, folder: Path, **environment: str) -> str:
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, str(embedded.postgresql_tool("pg_dump").parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_whether_it_was_run(page: Path) -> None:
    unmarked = [lines for before, lines in blocks(page.read_text()) if not MARK.match(before)]
    assert unmarked == []


def test_only_what_is_run_says_so() -> None:
    claimed = [
        lines for page in PAGES for before, lines in blocks(page.read_text()) if before.startswith("*Run by the tests")
    ]
    ran = under("SQLite") + under("PostgreSQL: a dump")
    assert [lines for lines in claimed if lines not in ran] == []


def test_a_sqlite_database_is_backed_up_and_restored_as_it_is_written(sqlite: str, tmp_path: Path) -> None:
    outputs = tmp_path / "files"
    (outputs / "a" / "0").mkdir(parents=True)
    (outputs / "a" / "0" / "0").write_bytes(b"a fox")
    said = run(under("SQLite"), tmp_path, STORAGE_URL=outputs.as_uri())
    assert "backups/monday has the database" in said
    assert said.endswith("The books balance.\n")
    assert (tmp_path / "restored" / "outputs" / "a" / "0" / "0").read_bytes() == b"a fox"


@pytest.fixture
def no_restored(postgresql: str) -> Iterator[str]:
    """The address of the database that the page makes; it is not there before, and not after."""
    yield make_url(postgresql).set(database="coinop_restored").render_as_string(hide_password=False)
    with closing(psycopg.connect(postgresql, autocommit=True)) as connection:
        connection.execute("DROP DATABASE IF EXISTS coinop_restored")


def test_postgresql_is_dumped_and_restored_as_it_is_written(postgresql: str, no_restored: str, tmp_path: Path) -> None:
    said = run(under("PostgreSQL: a dump"), tmp_path, RESTORED_URL=no_restored)
    assert said == "The books balance.\n"
    with closing(psycopg.connect(no_restored)) as connection:
        assert connection.execute("SELECT count(*) FROM catalog_versions").fetchone() != (0,)
