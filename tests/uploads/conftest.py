"""What the tests of uploads stand on: the front door, callers, files of their own, and servers to fetch from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from config import settings
from tests.http.conftest import caller, client, sign_up
from tests.uploads.servers import NAME, Guide, Script, Serve, Server, authority, saying
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


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(ca: tuple[trustme.CA, str]) -> Iterator[Serve]:
    """Run a server with this script, good for these names; gives who leads there."""
    with ExitStack() as stack:

        def make(script: Script | bytes, *names: str, by: trustme.CA | None = None) -> Guide:
            certificate = (by or ca[0]).issue_cert(*(names or (NAME,)))
            server = Server(saying(script) if isinstance(script, bytes) else script, certificate)
            return Guide(stack.enter_context(server.running()), ca[1])

        yield make
