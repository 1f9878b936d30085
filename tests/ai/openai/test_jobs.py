"""Whole jobs: ordered over HTTP, run by the task with `AI_MODE=openai`, and what they cost in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import cast
from uuid import UUID

import pytest
from llmock.pytest_plugin import LLMock

from config import ROOT
from models.kinds import Kind
from tasks import generation
from tests.ai.openai.asking import KEY
from tests.ai.openai.conftest import Choose
from tests.ai.openai.scripted import (
    Answer,
    Scripted,
    analysis,
    body,
    error,
    events,
    picture_answer,
    response,
    text,
    wav,
)
from tests.http.conftest import Caller
from tests.http.offers import CORNER_SHOP, sell
from tests.jobs import work
from tests.uploads.bringing import brought
from tests.uploads.drawings import picture
from worker.backends import BACKENDS, Offer, offers


def done(caller: Caller, action: str, **given: object) -> dict[str, object]:
    """A job that was ordered and run once, as its owner sees it."""
    answer = caller.post("/v1/jobs", {"action": action, "input": given})
    assert answer.status_code == 202, answer.json
    job = answer.json or {}
    generation.run(job["id"])
    return caller.get(job["urls"]["get"]).json or {}


def money(job: dict[str, object]) -> tuple[int, int, int]:
    cost = job["cost"]
    assert isinstance(cost, dict)
    return cost["held"], cost["charged"], cost["refunded"]


def outputs(job: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", job["outputs"])


def test_a_chat_is_charged_once_it_is_there(caller: Caller, model: LLMock, choose: Choose) -> None:
    choose(model.base_url())
    model.reply(analysis())
    job = done(caller, "chat", prompt="Shall we meet?")
    assert (job["status"], money(job)) == ("completed", (5, 5, 0))
    expected = {
        "type": "analysis", "text": "They ask for Friday.", "tone": "warm", "intent": "wants to settle a date",
        "advice": "Say yes.", "suggestions": ["Reply 0", "Reply 1", "Reply 2"],
    }  # fmt: skip
    [output] = outputs(job)
    assert {name: output[name] for name in expected} == expected
    assert caller.balance() == {"available": 95, "held": 0, "debt": 0}


def test_files_are_stored_and_their_usage_is_kept(caller: Caller, server: Scripted, choose: Choose) -> None:
    choose(server.base_url)
    fox, night, sound = picture(size=(1024, 1024)), picture("image/webp"), wav(2)
    server.answer_with(picture_answer(fox), picture_answer(night), body(sound, kind="audio/wav"))
    upload = brought(caller)["id"]
    made = [
        done(caller, "image", prompt="a red fox"),
        done(caller, "image_edit", prompt="make it night", upload=upload),
        done(caller, "speech", text="Good morning."),
    ]
    assert [money(job) for job in made] == [(10, 10, 0), (10, 10, 0), (4, 4, 0)]
    for job, media_type, size in zip(
        made, ("image/png", "image/webp", "audio/wav"), (len(fox), len(night), len(sound)), strict=True
    ):
        [output] = outputs(job)
        assert (output["type"], output["media_type"], output["size"]) == ("file", media_type, size)
    usage = [work.job(UUID(str(job["id"]))).usage for job in made]
    assert [each and each.get("images") for each in usage] == [1, 1, None]
    assert usage[2] == {"characters": 13, "seconds": 2}
    assert caller.balance() == {"available": 76, "held": 0, "debt": 0}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(400, "moderation_blocked"), "content_filtered"),
        (error(401), "provider_rejected_key"),
        (events(response(text("no JSON"))), "bad_answer"),
    ],
    ids=["filtered", "key", "bad answer"],
)
def test_what_is_refused_costs_nothing(
    caller: Caller, server: Scripted, choose: Choose, answer: Answer, code: str
) -> None:
    choose(server.base_url)
    server.answer_with(answer)
    job = done(caller, "chat", prompt="Shall we meet?")
    assert (job["status"], money(job)) == ("failed", (5, 0, 5))
    fault = job["error"]
    assert isinstance(fault, dict)
    assert fault["code"] == code
    assert caller.balance() == {"available": 100, "held": 0, "debt": 0}


def test_what_passes_is_waited_for_and_charged_once(caller: Caller, server: Scripted, choose: Choose) -> None:
    choose(server.base_url)
    server.answer_with(error(429, Retry_After="90"), events(response(text(analysis()))))
    job = done(caller, "chat", prompt="Shall we meet?")
    assert (job["status"], money(job)) == ("queued", (5, 0, 0))
    job_id = UUID(str(job["id"]))
    assert 85 < work.wake_ups(job_id)[-1] <= 90, "no sooner than the provider asked for"
    work.set_back(job_id, "run_after")
    generation.run(str(job_id))
    assert work.cost(job_id) == (5, 5, 0)
    assert caller.balance() == {"available": 95, "held": 0, "debt": 0}


def test_an_action_may_have_a_model_of_its_own(caller: Caller, model: LLMock, choose: Choose) -> None:
    choose(model.base_url(), AI_PROVIDERS="chat=openai:usual-1")
    chat = CORNER_SHOP["actions"]["chat"]
    sell(actions={"chat": chat, "deep": {**chat, "options": {"model": "thorough-2", "replies": 1}}})
    model.reply(analysis()).reply(analysis(1))
    assert done(caller, "chat", prompt="Shall we?")["status"] == "completed"
    assert done(caller, "deep", prompt="Shall we?")["status"] == "completed"
    assert [asked.model for asked in model.requests] == ["usual-1", "thorough-2"]


def test_kinds_that_openai_does_not_do_are_not_on_offer(caller: Caller, choose: Choose) -> None:
    choose("https://api.example.com/v1")
    refused = caller.post("/v1/jobs", {"action": "video", "input": {"prompt": "a fox"}})
    assert refused.status_code == 409
    assert set(offers()) == set(BACKENDS["openai"].models)
    assert offers()[Kind.speech] == Offer("openai", "gpt-4o-mini-tts")
    assert caller.balance()["available"] == 100


def test_who_never_asks_openai_does_not_load_it() -> None:
    """Its client takes a second and tens of megabytes: the front door has neither to spare, whoever generates."""
    program = "import sys, wsgi, worker.app; sys.exit(bool({'openai', 'httpx2'} & set(sys.modules)))"
    with TemporaryDirectory() as home:
        variables = {"COINOP_HOME": home, "AI_MODE": "openai", "OPENAI_API_KEY": KEY}
        ended = subprocess.run(  # our own program
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
