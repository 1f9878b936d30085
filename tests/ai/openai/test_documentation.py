"""docs/providers.md: its commands run as they are written, and it knows the settings, the models and the codes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.serving import make_server

from config import ROOT
from models.database import readings
from models.jobs import Job, Status
from models.kinds import Kind
from tasks import generation
from tests.ai.openai.conftest import Choose
from tests.ai.openai.scripted import Scripted, analysis, body, events, picture_answer, response, text, wav
from tests.pages import needs_curl, run_blocks
from tests.uploads.drawings import picture
from worker.ai.openai.speaking import VOICES
from worker.backends import BACKENDS

PAGE = (ROOT / "docs" / "providers.md").read_text()


@pytest.fixture
def address(app: Any, client: FlaskClient) -> Iterator[str]:
    """The front door of this process, as a server, with somebody behind it who runs what is ordered."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            with readings() as session:
                waiting = session.scalars(select(Job.id).where(Job.status == Status.queued)).all()
            for job_id in waiting:
                generation.run(str(job_id))

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{server.port}"
    over.set()
    server.shutdown()
    for thread in threads:
        thread.join()


@needs_curl
def test_the_commands_run_as_they_are_written(choose: Choose, server: Scripted, address: str, tmp_path: Path) -> None:
    choose(server.base_url)
    server.answer_with(
        events(response(text(analysis()))), picture_answer(picture(size=(1024, 1024))), body(wav(1), kind="audio/wav")
    )
    answer, more = run_blocks("providers.md", address=address, folder=tmp_path)
    job = json.loads(answer)
    assert (job["status"], job["cost"]["charged"]) == ("completed", 5)
    assert job["outputs"][0]["suggestions"] == ["Reply 0", "Reply 1", "Reply 2"]
    assert more.split() == ["queued", "queued"]


def test_the_page_knows_every_model_voice_setting_and_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| yes \| `?([\w.-]*)`? *\|", PAGE, re.MULTILINE))
    assert {Kind(kind): model for kind, model in rows.items() if model} == BACKENDS["openai"].models
    assert set(rows) == set(Kind)
    sources = "".join(file.read_text() for file in (ROOT / "worker" / "ai").rglob("*.py"))
    codes = set(re.findall(r'(?:Refused|Unavailable)\(\s*"([a-z_]+)"', sources)) - SAID_ELSEWHERE
    assert {"provider_refused", "bad_answer", "provider_rejected_key"} <= codes
    settings = ("AI_MODE", "AI_PROVIDERS", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_CHAT_API")
    assert {name for name in (*codes, *VOICES, *settings) if f"`{name}`" not in PAGE} == set()


SAID_ELSEWHERE = {"provider_unavailable", "content_refused", "moderation_unavailable"}
"""Of the mock's scripts, and of what is looked at before any provider is asked."""
