"""Chat and vision: what is asked, what comes of it, and what is done about an answer that will not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock

from models.kinds import Kind
from tests.ai.openai.asking import KEY, call_for, failure, provider, with_picture
from tests.ai.openai.scripted import Scripted, analysis, error, events, response, silence, text
from tests.uploads.drawings import picture
from worker.ai.openai.provider import OpenAIProvider
from worker.ai.openai.talking import as_url
from worker.ai.provider import Analysis, Text
from worker.decoding import examine

REFUSAL = {"type": "refusal", "refusal": "I cannot help with that."}


def test_a_chat_is_an_analysis_with_its_usage(either: OpenAIProvider, model: LLMock) -> None:
    model.reply(analysis(5, summary=" Well. "))
    made = either.generate(call_for(options={"replies": 5, "depth": "long"}, model="gpt-any"))
    assert made.outputs == (
        Analysis(
            "Well.", "warm", "wants to settle a date", "Say yes.", tuple(f"Reply {number}" for number in range(5))
        ),
    )
    assert set(made.usage) == {"input_tokens", "output_tokens"}
    assert min(made.usage.values()) > 0
    assert made.delivered_percent == 100
    assert made.request_id
    asked = model.last_request
    assert (asked.model, asked.stream) == ("gpt-any", True)


@pytest.mark.parametrize("replies", [1, 3, 10])
def test_the_shape_that_is_asked_for_is_enough_to_get_it(either: OpenAIProvider, model: LLMock, replies: int) -> None:
    """The double makes up whatever the schema of the request says."""
    [output] = either.generate(call_for(options={"replies": replies})).outputs
    assert isinstance(output, Analysis)
    assert len(output.suggestions) == replies
    assert len(model.requests) == 1


def test_how_deep_an_analysis_goes_is_part_of_what_is_asked(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(events(response(text(analysis()))))
    for depth in ("short", "long"):
        ours.generate(call_for(options={"depth": depth}))
    short, long = (asked.json["instructions"] for asked in server.asked)
    assert "one or two sentences" in short
    assert "thorough" in long
    assert "3 different replies" in long


def test_a_picture_goes_along_as_its_bytes(either: OpenAIProvider, model: LLMock) -> None:
    seen = examine(picture())
    model.reply("A gradient.")
    made = either.generate(with_picture(Kind.vision, seen))
    assert made.outputs == (Text("A gradient."),)
    assert as_url(seen) in json.dumps(model.last_request.body)
    assert "pictures.example" not in json.dumps(model.last_request.body)


def test_nothing_is_stored_and_only_the_key_says_who_we_are(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(events(response(text(analysis())), x_request_id="req_7"))
    made = ours.generate(call_for())
    [asked] = server.asked
    assert asked.json["store"] is False
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert made.request_id == "req_7"
    assert made.usage == {"input_tokens": 40, "cached_input_tokens": 8, "output_tokens": 20}


def test_an_analysis_that_will_not_do_is_sent_back_once_with_its_faults(either: OpenAIProvider, model: LLMock) -> None:
    model.reply(analysis(2, tone="")).reply(analysis())
    made = either.generate(call_for())
    [output] = made.outputs
    assert isinstance(output, Analysis)
    assert output.suggestions == ("Reply 0", "Reply 1", "Reply 2")
    _, second = model.requests
    again = json.dumps(second.body)
    assert "suggestions: List should have at least 3 items" in again
    assert "tone: Value error, must not be empty" in again
    assert json.dumps(analysis(2, tone="")) in again, "the model sees what it had answered"
    assert made.usage["output_tokens"] > 20, "both answers are paid for"


@pytest.mark.parametrize(
    "answer",
    ["I would say yes.", analysis()[:-20], analysis(2), analysis(suggestions="yes"), analysis(mood="good"), "[]"],
    ids=["words", "cut off", "too few", "no list", "one too many", "another shape"],
)
def test_an_analysis_that_will_not_do_even_then_is_refused(either: OpenAIProvider, model: LLMock, answer: str) -> None:
    model.reply(answer, times=None)
    failed = failure(either, call_for())
    assert (failed.code, failed.retryable) == ("bad_answer", False)
    assert len(model.requests) == 2
    assert answer not in failed.message
    assert failed.usage is not None
    assert failed.usage["output_tokens"] >= 2, "two answers were paid for"


def test_a_first_answer_is_paid_for_even_if_there_is_no_second(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(events(response(text("?"))), error(500), events(response(text("?"))), events(response(REFUSAL)))
    assert failure(ours, call_for()).usage == {"input_tokens": 40, "cached_input_tokens": 8, "output_tokens": 20}
    assert failure(ours, call_for()).usage == {"input_tokens": 80, "cached_input_tokens": 16, "output_tokens": 40}


@pytest.mark.parametrize("blank", ["", " \n"])
def test_no_words_about_a_picture_are_no_answer(ours: OpenAIProvider, server: Scripted, blank: str) -> None:
    server.answer_with(events(response(text(blank))))
    assert failure(ours, with_picture(Kind.vision, examine(picture()))).code == "bad_answer"


def test_what_no_text_has_is_not_kept(ours: OpenAIProvider, server: Scripted) -> None:
    """JSON may hold NUL and half a surrogate pair; PostgreSQL and UTF-8 do not."""
    server.answer_with(events(response(text(analysis(tone="warm\x00")))), events(response(text("a\x00b\ud800c"))))
    [output] = ours.generate(call_for()).outputs
    assert isinstance(output, Analysis)
    assert output.tone == "warm"
    assert ours.generate(with_picture(Kind.vision, examine(picture()))).outputs == (Text("ab?c"),)


def failed_with(code: str) -> dict[str, Any]:
    return response(status="failed", error={"code": code, "message": "-"})


TOO_LONG = {"incomplete_details": {"reason": "max_output_tokens"}}
FILTERED = {"incomplete_details": {"reason": "content_filter"}}


@pytest.mark.parametrize(
    ("last", "code", "passing"),
    [
        (response(REFUSAL), "content_filtered", False),
        (response(text("{"), status="incomplete", **FILTERED), "content_filtered", False),
        (response(text("{"), status="incomplete", **TOO_LONG), "bad_answer", False),
        (failed_with("invalid_prompt"), "content_filtered", False),
        (failed_with("insufficient_quota"), "provider_rejected_key", False),
        (failed_with("rate_limit_exceeded"), "provider_rate_limited", True),
        (failed_with("server_error"), "provider_error", True),
        (failed_with("image_too_small"), "provider_refused", False),
        (response(status="failed"), "provider_error", True),
        ({"type": "error", "code": "server_error", "message": "-", "sequence_number": 3}, "provider_error", True),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "-"}}, "provider_rate_limited", True),
        ({"type": "response.completed", "response": None}, "provider_error", True),
        ({"type": "response.completed", "response": {"output": "x"}}, "provider_error", True),
        ({"type": "response.in_progress"}, "provider_error", True),
        ({"type": ["response.completed"]}, "provider_error", True),
        ({"type": "error", "code": {"server": "error"}}, "provider_error", True),
    ],
)  # fmt: skip
def test_an_answer_that_went_wrong_has_a_code(
    ours: OpenAIProvider, server: Scripted, last: dict[str, Any], code: str, passing: bool
) -> None:
    server.answer_with(events(last))
    failed = failure(ours, call_for())
    assert (failed.code, failed.retryable) == (code, passing)
    assert "cannot help" not in failed.message
    assert len(server.asked) == 1, "only an answer is worth a second question"


def _chunk(why: str | None = None, **said: Any) -> dict[str, Any]:
    return {"type": "-", "id": "c1", "choices": [{"index": 0, "delta": said, "finish_reason": why}]}


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([_chunk(content="{"), _chunk("length")], "bad_answer"),
        ([_chunk(content="{"), _chunk("content_filter")], "content_filtered"),
        ([_chunk(refusal="No.")], "content_filtered"),
        ([_chunk(content="{")], "provider_error"),
    ],
    ids=["too long", "filtered", "refused", "cut off"],
)
def test_a_chat_completion_that_went_wrong_has_a_code(server: Scripted, chunks: list[Any], code: str) -> None:
    server.answer_with(events(*chunks))
    assert failure(provider(server.base_url, openai_chat_api="completions"), call_for()).code == code


def test_one_connection_serves_call_after_call(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(events(response(text(analysis()))), events(response(text(analysis()))), error(400))
    ours.generate(call_for())
    ours.generate(call_for())
    assert failure(ours, call_for()).code == "provider_refused"
    assert server.connections == 1


def test_an_answer_that_is_complete_need_not_end(ours: OpenAIProvider, server: Scripted) -> None:
    server.answer_with(events(response(text(analysis())), ending=False, then=silence))
    assert ours.generate(call_for()).outputs
    assert server.left.wait(5)
