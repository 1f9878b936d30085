"""Two servers that speak OpenAI's protocol, and our provider with the real client: `llmock`, which no one here wrote,
and one of our own for what that one does not do (`scripted.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from config import settings
from tests.ai.openai.asking import KEY, provider
from tests.ai.openai.scripted import Scripted
from tests.http.conftest import caller, client, sign_up
from worker.ai.openai.provider import OpenAIProvider
from worker.storage import storage

Choose = Callable[..., None]

__all__ = ["caller", "client", "sign_up"]


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests need not wait as long as users may."""
    monkeypatch.setattr("worker.ai.watching.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("worker.ai.watching.DRAIN_SECONDS", 0.1)


@pytest.fixture(scope="session")
def llmock_here() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def model(llmock_here: LLMockServer) -> LLMock:
    """The double by third parties, with nothing scripted. It is not told to the environment, unlike its own fixture."""
    return LLMock(llmock_here).reset()


@pytest.fixture(params=["responses", "completions"])
def either(request: pytest.FixtureRequest, model: LLMock) -> OpenAIProvider:
    """Our provider, asking that double in one way, then in the other."""
    return provider(model.base_url(), openai_chat_api=request.param)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted().running() as made:
        yield made


@pytest.fixture
def ours(server: Scripted) -> OpenAIProvider:
    """Our provider, asking the server of our own."""
    return provider(server.base_url)


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    """Let OpenAI do what it can in this process, at this address."""

    def make(base_url: str, **variables: str) -> None:
        given = {"AI_MODE": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": base_url, **variables}
        for name, value in {**given, "STORAGE_URL": f"file://{tmp_path}/files"}.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        storage.cache_clear()

    yield make
    monkeypatch.undo()
    settings.cache_clear()
    storage.cache_clear()
