"""Secure connections are watched like others. All of OpenAI is behind one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from models.kinds import Kind
from tests.ai.openai.asking import call_for, failure, provider
from tests.ai.openai.scripted import Scripted, analysis, delta, drip, events, picture_answer, response, silence, text
from tests.uploads.drawings import picture
from worker.ai.openai.provider import OpenAIProvider
from worker.ai.provider import Canceled
from worker.ai.watching import _trusted


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Scripted]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Scripted(security=context).running() as made:
        yield made


@pytest.fixture
def trusting(
    secure: Scripted, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenAIProvider]:
    """Our provider, where the machine trusts the authority of the server."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    _trusted.cache_clear()
    yield provider(secure.base_url)
    _trusted.cache_clear()


def test_words_and_pictures_come_by_one_connection(trusting: OpenAIProvider, secure: Scripted) -> None:
    drawn = picture("image/png", size=(1024, 1536))
    secure.answer_with(events(response(text(analysis()))), picture_answer(drawn))
    assert trusting.generate(call_for()).outputs
    assert trusting.generate(call_for(Kind.image)).usage["images"] == 1
    assert secure.connections == 1


@pytest.mark.parametrize("answer", [silence, drip, events(delta("The"), ending=False, then=silence)])
def test_the_deadline_holds(trusting: OpenAIProvider, secure: Scripted, answer: object) -> None:
    secure.answer_with(answer)  # type: ignore[arg-type]
    assert failure(trusting, call_for(timeout=0.4)).code == "provider_timeout"
    assert secure.left.wait(5)


def test_a_user_can_cancel(trusting: OpenAIProvider, secure: Scripted) -> None:
    call = call_for()

    def cancel(handler: object) -> None:
        call.canceled = True
        silence(handler)  # type: ignore[arg-type]

    secure.answer_with(events(delta("The"), ending=False, then=cancel))
    with pytest.raises(Canceled):
        trusting.generate(call)
    assert secure.left.wait(5)


def test_a_certificate_of_nobody_known_is_not_believed(secure: Scripted) -> None:
    assert failure(provider(secure.base_url), call_for()).code == "provider_unreachable"
    assert secure.asked == []


def test_who_takes_connections_and_says_nothing_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ai.watching.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/v1"
        assert failure(provider(url), call_for()).code == "provider_unreachable"
