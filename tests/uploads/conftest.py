"""What the tests of uploads stand on: the front door and callers that can bring pictures along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config import settings
from tests.http.conftest import caller, client, sign_up
from worker.storage import storage

__all__ = ["caller", "client", "sign_up"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A storage of its own for each test; gives its folder."""
    folder = tmp_path / "files"
    monkeypatch.setenv("STORAGE_URL", f"file://{folder}")
    settings.cache_clear()
    storage.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()
    storage.cache_clear()
