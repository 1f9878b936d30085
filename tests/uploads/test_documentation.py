"""docs/uploads.md: its commands run as they are written, and it knows every setting and every reason."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from config import ROOT
from models.errors import PictureRefused, TooManyUploads, UploadSpaceFull
from tests.pages import needs_curl, run_blocks
from tests.uploads.drawings import pixels

PAGE = (ROOT / "docs" / "uploads.md").read_text()


@pytest.fixture
def address(app: Any, client: FlaskClient) -> Iterator[str]:
    """The front door of this process, as a server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@needs_curl
def test_the_commands_run_as_they_are_written(address: str, tmp_path: Path) -> None:
    _, upload, again, job, rest = run_blocks("uploads.md", address=address, folder=tmp_path)
    assert '"object":"upload"' in upload.replace(" ", "")
    assert again == "200\n"
    assert '"price":' in job
    assert '"uploads":' in rest
    assert rest.endswith("204\n")
    assert pixels((tmp_path / "kept.png").read_bytes()) == pixels((tmp_path / "dot.png").read_bytes())


def test_the_page_knows_every_setting_and_every_reason() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "models" / "pictures").glob("*.py"))
    reasons = re.findall(r'PictureRefused\(\s*"([a-z]+)"', sources)
    assert {f"`{why}`" for why in reasons} <= set(re.findall(r"`[a-z]+`", PAGE))
    assert len(set(reasons)) == 5
    codes = (PictureRefused.code, UploadSpaceFull.code, TooManyUploads.code, "image_refused", "image_unavailable")
    for name in (
        "MAX_UPLOAD_BYTES",
        "MAX_IMAGE_PIXELS",
        "UPLOAD_DAYS",
        "UPLOAD_SPACE_BYTES",
        "UPLOAD_RATE_LIMIT",
        *codes,
    ):
        assert f"`{name}`" in PAGE
