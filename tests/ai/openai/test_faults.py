"""What goes wrong on the way: each fault has a code, ends in time, and tells nobody what it should not."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from structlog.testing import capture_logs

from models.kinds import Kind
from tests.ai.openai.asking import KEY, call_for, failure, provider, with_picture
from tests.ai.openai.scripted import (
    Handler,
    Scripted,
    analysis,
    body,
    cut,
    delta,
    drip,
    error,
    events,
    flood,
    picture_answer,
    reset,
    response,
    said,
    silence,
    text,
)
from tests.unit.fake_call import FakeCall
from tests.uploads.drawings import picture
from worker.ai.openai.provider import OpenAIProvider
from worker.ai.provider import Canceled
from worker.decoding import examine

SHORT, LONG = 0.3, 20.0
"""Seconds that a call has which will not be answered in time, and one that will."""


@pytest.mark.parametrize(
    ("status", "code", "passing"),
    [
        (400, "provider_refused", False),
        (401, "provider_rejected_key", False),
        (403, "provider_rejected_key", False),
        (404, "provider_refused", False),
        (413, "provider_refused", False),
        (429, "provider_rate_limited", True),
        (500, "provider_error", True),
        (503, "provider_error", True),
    ],
)
def test_a_status_has_a_code(either: OpenAIProvider, model: LLMock, status: int, code: str, passing: bool) -> None:
    model.fail(status, times=None)
    failed = failure(either, call_for())
    assert (failed.code, failed.retryable) == (code, passing)
    assert len(model.requests) == 1, "the job tries again, the client does not"


def test_how_long_to_wait_is_heeded(either: OpenAIProvider, model: LLMock) -> None:
    model.rate_limit(retry_after=7)
    assert failure(either, call_for()).retry_after == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "2.5"}, 2.5),
        ({"Retry_After": "2", "retry_after_ms": "1500"}, 1.5),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry_After": "Wed, 21 Oct 2215 07:28:00 GMT"}, 3600),
        ({"Retry_After": "1e300"}, 3600),
        ({"Retry_After": "-4"}, 0),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "inf"}, None),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_wait_is_said_in_many_ways(
    ours: OpenAIProvider, server: Scripted, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server.answer_with(error(status, **headers))
    assert failure(ours, call_for()).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "theirs", "code"),
    [
        (429, "insufficient_quota", "provider_rejected_key"),
        (400, "billing_hard_limit_reached", "provider_rejected_key"),
        (400, "moderation_blocked", "content_filtered"),
        (400, "content_policy_violation", "content_filtered"),
        (403, "content_filter", "content_filtered"),
        (408, None, "provider_timeout"),
        (409, None, "provider_error"),
        (301, None, "provider_refused"),
    ],
)
def test_a_code_of_theirs_says_more_than_a_status(
    ours: OpenAIProvider, server: Scripted, status: int, theirs: str | None, code: str
) -> None:
    server.answer_with(error(status, theirs, Location="https://elsewhere.example/"))
    assert failure(ours, call_for()).code == code
    assert len(server.asked) == 1


def test_what_a_refusal_is_about_is_told_if_it_is_a_name(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(error(400, param="text.format.schema"), error(400, param="shall we meet on Friday?"))
    assert "(text.format.schema)" in failure(ours, call_for()).message
    assert "Friday" not in failure(ours, call_for()).message
    server.answer_with(said({"error": {"code": ["a"], "type": {}, "param": {"b": 1}, "message": None}}, status=400))
    assert failure(ours, call_for()).message == "The provider does not accept the request."


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (LLMock.disconnect, "provider_unreachable"),
        (LLMock.truncate, "provider_error"),
        (LLMock.corrupt, "provider_error"),
    ],
)
def test_a_stream_that_breaks_is_no_answer(
    either: OpenAIProvider, model: LLMock, break_it: Callable[..., LLMock], code: str
) -> None:
    break_it(model, after_chunks=3)
    failed = failure(either, call_for())
    assert (failed.code, failed.retryable) == (code, True)
    model.reset().reply(analysis())
    assert either.generate(call_for()).outputs, "and it is forgotten by the next call"


def test_a_stream_that_stalls_is_left_at_the_deadline(either: OpenAIProvider, model: LLMock) -> None:
    model.stall(after_chunks=2, seconds=30)
    failed = failure(either, call_for(timeout=SHORT))
    assert (failed.code, failed.retryable) == ("provider_timeout", True)


def test_an_answer_that_is_slow_to_begin_is_waited_for(either: OpenAIProvider, model: LLMock) -> None:
    model.slow_first_token(0.3).reply(analysis())
    assert either.generate(call_for()).outputs


PICTURE = picture(size=(1024, 1536))


@pytest.mark.parametrize("kind", [Kind.chat, Kind.image])
@pytest.mark.parametrize(
    ("answer", "code", "passing"),
    [
        (silence, "provider_timeout", True),
        (drip, "provider_timeout", True),
        (reset, "provider_unreachable", True),
        (cut(json.dumps({"data": []}).encode() * 9), "provider_unreachable", True),
        (body(b'{"data": [', kind="application/json"), "provider_error", True),
        (body(b"<html>\xff", kind="text/html"), "provider_error", True),
        (said(None), "provider_error", True),
    ],
    ids=["silent", "dripping", "reset", "cut", "half JSON", "HTML", "null"],
)
def test_no_answer_of_bytes_does_harm(
    ours: OpenAIProvider, server: Scripted, kind: Kind, answer: Any, code: str, passing: bool
) -> None:
    server.answer_with(answer)
    # Who says nothing is waited for in vain; all others have the time that a busy machine takes.
    failed = failure(ours, call_for(kind, timeout=SHORT if code == "provider_timeout" else LONG))
    assert (failed.code, failed.retryable) == (code, passing)


def test_more_than_an_answer_needs_is_not_taken(
    ours: OpenAIProvider, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ai.watching.MOST_BYTES", 3 * 2**20)
    server.answer_with(flood)
    assert failure(ours, call_for(Kind.image)).code == "bad_answer"
    assert server.left.wait(5)


def test_nobody_at_home_is_unreachable() -> None:
    assert failure(provider("http://127.0.0.1:9/v1"), call_for()).code == "provider_unreachable"


def canceling(call: FakeCall) -> Callable[[Handler], None]:
    """The user cancels while the server is at it."""

    def answer(handler: Handler) -> None:
        call.canceled = True
        silence(handler)

    return answer


@pytest.mark.parametrize("api", ["responses", "completions"])
def test_a_user_who_cancels_ends_the_work_at_the_other_end(server: Scripted, api: str) -> None:
    call = call_for()
    server.answer_with(events(delta("The tone"), ending=False, then=canceling(call)))
    with pytest.raises(Canceled):
        provider(server.base_url, openai_chat_api=api).generate(call)
    assert server.left.wait(5), "its connection is closed"


def test_a_user_can_cancel_what_is_not_streamed_as_well(ours: OpenAIProvider, server: Scripted) -> None:
    call = call_for(Kind.image)
    server.answer_with(canceling(call))
    with pytest.raises(Canceled):
        ours.generate(call)
    assert server.left.wait(5)


def test_a_user_who_canceled_before_is_not_asked_for(ours: OpenAIProvider, server: Scripted) -> None:
    with pytest.raises(Canceled):
        ours.generate(call_for(canceled=True))
    assert server.asked == []


SECRETS = (KEY, "01234567", "Friday", "red fox", "Good morning", "do not repeat")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Kind.chat, error(401, "invalid_api_key", message=f"Incorrect API key provided: {KEY}.")),
        (Kind.chat, error(429, "insufficient_quota", message="do not repeat")),
        (Kind.chat, error(400, "Friday Friday", message="do not repeat", param="Shall we meet on Friday?")),
        (Kind.chat, error(500, message="do not repeat: shall we meet on Friday?")),
        (Kind.chat, events(response(text("do not repeat"), status="failed", error={"code": "do not repeat"}))),
        (Kind.chat, events(response(text("do not repeat")))),
        (Kind.chat, events({"type": "error", "error": {"code": KEY, "message": "do not repeat"}})),
        (Kind.chat, body(f"do not repeat {KEY}".encode(), kind="text/event-stream")),
        (Kind.chat, reset),
        (Kind.image, body(b'"do not repeat"')),
        (Kind.image, picture_answer(b"do not repeat")),
        (Kind.image_edit, error(400, "moderation_blocked", message="do not repeat the red fox")),
        (Kind.speech, body(b"do not repeat", kind="audio/wav")),
        (Kind.vision, events(response({"type": "refusal", "refusal": "do not repeat"}))),
    ],
)
def test_no_key_no_words_and_nothing_of_theirs_is_told(
    ours: OpenAIProvider, server: Scripted, caplog: pytest.LogCaptureFixture, capsys: Any, kind: Kind, answer: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer_with(answer)
    failed = failure(ours, with_picture(kind, examine(picture())))
    everything = "\n".join((
        caplog.text, *capsys.readouterr(), str(failed), repr(failed), failed.message, failed.code,
        repr(failed.__cause__), repr(failed.__context__) if not failed.__suppress_context__ else "",
    ))  # fmt: skip
    assert [secret for secret in SECRETS if secret in everything] == []


def test_a_key_that_is_refused_raises_an_alarm(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(error(401, "invalid_api_key", x_request_id="req_9"))
    with capture_logs() as logs:
        failure(ours, call_for())
    [line] = logs
    assert (line["log_level"], line["code"], line["request_id"]) == ("error", "provider_rejected_key", "req_9")


def test_a_hundred_threads_share_one_client(ours: OpenAIProvider, server: Scripted) -> None:
    """All wait at once: no pool of connections makes one wait for another."""
    many = 100
    together = threading.Barrier(many, timeout=15)

    def wait_for_all(handler: Handler) -> None:
        together.wait()
        events(response(text(analysis())))(handler)

    server.answer_with(wait_for_all)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(ours.generate(call_for()))) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == many


def test_no_wait_is_without_a_watch(ours: OpenAIProvider) -> None:
    """Whoever used the client outside of a call would be told at once, and not wait for ever."""
    with pytest.raises(LookupError):
        ours._client.models.list()
