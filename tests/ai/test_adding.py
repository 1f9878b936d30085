"""A provider is a module and one line: those of `docs/providers.md`, word for word, do a kind from order to charge."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import worker.ai
from config import ROOT, settings
from models.kinds import Kind
from tasks.generation import run
from tests.http.conftest import Caller, caller, client, sign_up
from worker.ai.artefacts import wav_speech
from worker.backends import BACKENDS, Backend

__all__ = ["caller", "client", "sign_up"]

SAID = wav_speech(bytes(range(32)), "Hello")


class Cellar(BaseHTTPRequestHandler):
    """The machine in the cellar."""

    heard: list[bytes]
    status = 200

    def do_POST(self) -> None:
        self.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(SAID)))
        self.end_headers()
        self.wfile.write(SAID)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cellar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[type[Cellar]]:
    """The example of the documentation, and the machine that it talks to."""
    machine = type("Machine", (Cellar,), {"heard": []})
    server = HTTPServer(("127.0.0.1", 0), machine)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    page = (ROOT / "docs" / "providers.md").read_text().partition("## Adding a provider")[2]
    module, line = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2]
    assert "http://127.0.0.1:9000" in module
    (tmp_path / "cellar.py").write_text(module.replace(":9000", f":{server.server_address[1]}"))
    monkeypatch.setattr(worker.ai, "__path__", [*worker.ai.__path__, str(tmp_path)])
    [(name, backend)] = eval(f"{{{line}}}", {"Backend": Backend, "Kind": Kind}).items()  # our own page
    monkeypatch.setitem(BACKENDS, name, backend)
    monkeypatch.setenv("AI_PROVIDERS", "speech=cellar:alto")
    monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path}/files")  # settings, and so a provider, of this test alone
    settings.cache_clear()
    yield machine
    sys.modules.pop("worker.ai.cellar", None)
    server.shutdown()
    server.server_close()


def spoken(caller: Caller) -> dict[str, Any]:
    ordered: dict[str, Any] = caller.post("/v1/jobs", {"action": "speech", "input": {"text": "Hello"}}).json or {}
    run(ordered["id"])
    job: dict[str, Any] = caller.get(ordered["urls"]["get"]).json or {}
    return job


def test_an_added_provider_does_a_kind_from_order_to_charge(caller: Caller, cellar: type[Cellar]) -> None:
    job = spoken(caller)
    assert (job["status"], job["cost"]["charged"], job["usage"]) == ("completed", 4, {"characters": 5})
    assert caller.get(job["outputs"][0]["url"]).data == SAID
    assert cellar.heard == [b'{"voice":"alto","text":"Hello"}']


@pytest.mark.parametrize(
    ("status", "outcome", "code"), [(400, "failed", "provider_refused"), (503, "queued", "provider_error")]
)
def test_its_errors_are_those_of_any_provider(
    caller: Caller, cellar: type[Cellar], status: int, outcome: str, code: str
) -> None:
    cellar.status = status
    job = spoken(caller)
    assert (job["status"], job["cost"]["charged"]) == (outcome, 0)
    assert outcome == "queued" or job["error"]["code"] == code
