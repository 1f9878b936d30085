"""docs/outputs.md: its commands run as they are written, and it knows every setting and every refusal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.serving import make_server

from config import ROOT, settings
from config.storage import StorageSettings
from models.database import readings
from models.errors import JobNotFinished, LinkExpired, OutputGone
from models.jobs import Job, Status
from tasks.generation import run
from tests.outputs import making
from tests.pages import needs_curl, run_blocks
from web.shelf import shelf
from worker.storage import Storage

PAGE = (ROOT / "docs" / "outputs.md").read_text()


@pytest.fixture
def client(app: Any, sqlite: str) -> FlaskClient:
    """The front door on one database: what the page says does not depend on it."""
    shelf.look_again()
    made: FlaskClient = app.test_client()
    return made


@pytest.fixture
def address(app: Any, client: FlaskClient, folder: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The front door of this process, as a server, and somebody who does the jobs."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    address = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("PUBLIC_URL", address)
    settings.cache_clear()
    over = threading.Event()
    threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=_work, args=(over,))]
    for thread in threads:
        thread.start()
    yield address
    over.set()
    server.shutdown()
    for thread in threads:
        thread.join()
    monkeypatch.delenv("PUBLIC_URL")
    settings.cache_clear()


def _work(over: threading.Event) -> None:
    while not over.wait(0.1):
        with readings() as session:
            waiting = session.scalars(select(Job.id).where(Job.status == Status.queued)).all()
        for job_id in waiting:
            run(str(job_id))


@needs_curl
def test_the_commands_run_as_they_are_written(address: str, tmp_path: Path) -> None:
    _, fetched, part, deleted = run_blocks("outputs.md", address=address, folder=tmp_path)
    assert fetched == "image/png\n"
    size = (tmp_path / "fox.png").stat().st_size
    assert part.lower().split() == ["png", "content-length:", str(size)]
    assert deleted.startswith("204\n")
    assert '"output_gone"' in deleted
    assert deleted.endswith("\n410\n")
    assert making.left() == set()


def test_the_page_knows_every_setting_and_every_refusal() -> None:
    uploads = {"max_upload_bytes", "max_image_pixels", "upload_days", "upload_space_bytes"}
    named = {name for name in StorageSettings.__annotations__ if name not in uploads}
    codes = {LinkExpired.code, OutputGone.code, JobNotFinished.code, "storage_unavailable"}
    for name in {each.upper() for each in named} | codes:
        assert f"`{name}`" in PAGE, name
