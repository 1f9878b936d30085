"""Moderation: what is refused is not made and costs its user nothing; while nobody can say, it waits.

Over HTTP against a server of our own that speaks as much of OpenAI's moderations as a test has it say.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from config import BadSettings, ModerationMode, settings
from models import jobs
from models.jobs import Ending, Status
from models.kinds import Kind
from models.pictures import Picture
from tests.ai import shop
from tests.ai.openai import scripted
from tests.ai.openai.asking import KEY, call_for, with_picture
from tests.ai.openai.scripted import Scripted
from tests.jobs import work
from tests.ledger import books
from tests.ledger.books import Sums
from tests.unit.fake_call import FakeCall
from worker.ai import moderation
from worker.ai.moderation import Verdict
from worker.ai.openai.moderating import OpenAIModerator
from worker.ai.provider import Canceled, ProviderError, Refused, Unavailable

NewUser = Callable[..., tuple[UUID, int]]

PICTURE = Picture("image/png", 1, 1, b"the bytes of a picture")
FINE: dict[str, Any] = {"flagged": False, "categories": {"violence": False, "illicit": None}}
BAD: dict[str, Any] = {
    "flagged": True,
    "categories": {"violence": True, "hate": True, "illicit": None, "sexual": False},
}


def result(*results: dict[str, Any]) -> scripted.Answer:
    return scripted.said({"id": "modr-1", "model": "omni-moderation-latest", "results": list(results)})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """The server that the settings of this process send a moderation to."""
    monkeypatch.setattr("worker.ai.watching.LOOK_SECONDS", 0.02)
    with Scripted().running() as made:
        monkeypatch.setenv("MODERATION", "openai")
        monkeypatch.setenv("MODERATION_TIMEOUT_SECONDS", "0.5")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", made.base_url)
        settings.cache_clear()
        yield made
    settings.cache_clear()


@pytest.fixture
def ours(server: Scripted) -> OpenAIModerator:
    return OpenAIModerator.of(settings())


def failure(of: OpenAIModerator, call: FakeCall) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        moderation.moderate(of, call)
    assert KEY not in caught.value.message
    return caught.value


def test_words_are_asked_about_in_one_question(server: Scripted, ours: OpenAIModerator) -> None:
    server.answer_with(result(FINE))
    assert ours.check(call_for(Kind.speech, given={"text": "Good morning."})) == Verdict(flagged=False)
    [asked] = server.asked
    assert (asked.path, asked.headers["authorization"]) == ("/v1/moderations", f"Bearer {KEY}")
    assert asked.json == {
        "model": "omni-moderation-latest",
        "input": [{"type": "text", "text": "Good morning."}],
    }


def test_a_picture_goes_along_as_its_bytes(server: Scripted, ours: OpenAIModerator) -> None:
    server.answer_with(result(BAD))
    call = with_picture(Kind.image_edit, PICTURE, given={"prompt": "make it night"})
    assert ours.check(call) == Verdict(flagged=True, because=("hate", "violence"))
    encoded = base64.b64encode(PICTURE.data).decode()
    assert server.asked[0].json["input"] == [
        {"type": "text", "text": "make it night"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
    ]
    # A picture without words is looked at all the same.
    ours.check(with_picture(Kind.upscale, PICTURE))
    assert [part["type"] for part in server.asked[1].json["input"]] == ["image_url"]


def test_one_result_among_several_is_enough(server: Scripted, ours: OpenAIModerator) -> None:
    server.answer_with(result(FINE, BAD))
    refused = failure(ours, call_for(Kind.image))
    assert (type(refused), refused.code, refused.usage) == (Refused, "content_refused", {})


@pytest.mark.parametrize(
    ("answer", "kind", "code", "retry_after"),
    [
        (scripted.error(429, "rate_limit_exceeded", retry_after="7"), Unavailable, "moderation_unavailable", 7.0),
        (scripted.error(500), Unavailable, "moderation_unavailable", None),
        (scripted.said("not JSON at all"), Unavailable, "moderation_unavailable", None),
        (scripted.said({"results": [{"categories": {}}]}), Unavailable, "moderation_unavailable", None),
        (result(), Unavailable, "moderation_unavailable", None),
        (scripted.reset, Unavailable, "moderation_unavailable", None),
        (scripted.error(401, "invalid_api_key", message=KEY), Refused, "provider_rejected_key", None),
        (scripted.error(400, param="input"), Refused, "provider_refused", None),
    ],
    ids=["busy", "down", "no object", "no verdict", "no result", "gone", "key", "bad request"],
)  # fmt: skip
def test_what_goes_wrong_there_is_told_in_our_words(
    server: Scripted,
    ours: OpenAIModerator,
    answer: scripted.Answer,
    kind: type[ProviderError],
    code: str,
    retry_after: float | None,
) -> None:
    server.answer_with(answer)
    error = failure(ours, call_for(Kind.image))
    assert (type(error), error.code, error.retry_after) == (kind, code, retry_after)
    assert len(server.asked) == 1, "the attempt is repeated by the job, not here"


def test_it_has_a_time_of_its_own(server: Scripted, ours: OpenAIModerator) -> None:
    server.answer_with(scripted.silence)
    assert failure(ours, call_for(Kind.image)).code == "moderation_unavailable"


def test_a_user_who_cancels_is_not_kept_waiting(server: Scripted, ours: OpenAIModerator) -> None:
    server.answer_with(scripted.silence)
    with pytest.raises(Canceled):
        moderation.moderate(ours, call_for(Kind.image, canceled=True))


def test_settings_that_cannot_work_stop_the_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(**environment: str) -> str:
        with monkeypatch.context() as here:
            for name, value in environment.items():
                here.setenv(name, value)
            settings.cache_clear()
            with pytest.raises(BadSettings) as stopped:
                settings()
        settings.cache_clear()
        return str(stopped.value)

    assert "OPENAI_API_KEY: required with MODERATION=openai" in fault(MODERATION="openai")
    assert "MODERATION: Input should be 'none', 'mock' or 'openai'" in fault(MODERATION="strict")
    assert "MODERATION_TIMEOUT_SECONDS: expected less than RUN_LIMIT_SECONDS (180 s)" in fault(
        MODERATION="mock", MODERATION_TIMEOUT_SECONDS="60"
    )


def a_job(user: UUID, prompt: str, **how: Any) -> UUID:
    shop.open_shop(
        costs={"omni-moderation-latest": {"moderations": "0.001"}},
        video=shop.action("video", shop.A_SECOND, cancel_charge=100),
    )
    return shop.ordered(user, "video", {"prompt": prompt, "seconds": 4}, **how)


def test_what_is_refused_is_refunded_and_never_made(server: Scripted, database: str, new_user: NewUser) -> None:
    server.answer_with(result(BAD))
    user, wallet = new_user(100)
    job_id = a_job(user, "something bad")
    shop.run(job_id)
    row = work.job(job_id)
    assert (row.status, row.error_code, row.provider_request_id) == (Status.failed, "content_refused", None)
    assert (work.cost(job_id), books.sums(wallet), work.slots(user)) == ((12, 0, 12), Sums(100, 0, 0), 0)
    [attempt] = shop.attempts(job_id)
    assert (attempt.ending, attempt.error_code, attempt.provider) == (Ending.failed, "content_refused", None)
    assert (attempt.usage, attempt.cost_micros) == ({"moderations": 1}, 1_000)


def test_it_waits_for_a_moderation_that_is_away(server: Scripted, database: str, new_user: NewUser) -> None:
    server.answer_with(scripted.error(503), result(FINE), scripted.error(503))
    user, wallet = new_user(100)
    job_id, unlucky = a_job(user, "a fox"), a_job(user, "an owl", attempts=1)
    shop.run(job_id)
    assert work.job(job_id).status is Status.queued
    work.set_back(job_id, "run_after")
    shop.run(job_id)
    assert (work.job(job_id).status, work.cost(job_id)) == (Status.completed, (12, 12, 0))
    shop.run(unlucky)
    assert (work.job(unlucky).status, work.job(unlucky).error_code) == (Status.failed, "moderation_unavailable")
    assert (work.cost(unlucky), books.sums(wallet)) == ((12, 0, 12), Sums(88, 0, 0))
    assert [(each.ending, each.provider, each.usage) for each in shop.attempts(job_id)] == [
        (Ending.requeued, None, {"moderations": 1}),
        (Ending.completed, "mock", {"moderations": 1, "seconds": 4}),
    ]
    assert work.job(job_id).usage == {"seconds": 4}, "what users see is what was made for them"


def test_what_was_begun_is_not_looked_at_again(server: Scripted, database: str, new_user: NewUser) -> None:
    server.answer_with(result(BAD))
    job_id = a_job(new_user(100)[0], "a fox")
    made = work.claim(job_id)
    work.once(jobs.provider_began, made, "mock_begun")
    work.lose(made)
    shop.run(job_id)
    assert (work.job(job_id).status, server.asked) == (Status.completed, [])


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(
    ("mode", "prompt", "status", "code"),
    [
        ("mock", "a fox [mock:flagged]", Status.failed, "content_refused"),
        ("mock", "a fox [mock:unmoderated]", Status.queued, "moderation_unavailable"),
        ("mock", "a fox", Status.completed, None),
        ("none", "a fox [mock:flagged]", Status.completed, None),
    ],
)
def test_the_mock_does_as_it_is_told(
    new_user: NewUser, monkeypatch: pytest.MonkeyPatch, mode: str, prompt: str, status: Status, code: str | None
) -> None:
    user, _ = new_user(100)
    job_id = a_job(user, prompt)
    chosen = settings().model_copy(update={"moderation": ModerationMode(mode)})
    monkeypatch.setattr("tasks.generation.settings", lambda: chosen)
    shop.run(job_id)
    assert (work.job(job_id).status, work.job(job_id).error_code) == (status, code)
