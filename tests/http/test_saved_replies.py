"""Saved replies over HTTP: suggestions of an analysis that the mock provider made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from models import jobs
from models.database import sessions
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.unit.fake_call import FakeCall
from worker.ai.mock import MockProvider
from worker.ai.outputs import store

SignUp = Callable[[], Caller]
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def analysed(caller: Caller) -> dict[str, Any]:
    """A chat job of the caller, completed."""
    return _complete(caller, caller.submit("She wrote: see you at eight?"))


def test_an_analysis_has_its_parts(analysed: dict[str, Any]) -> None:
    [output] = analysed["outputs"]
    assert set(output) == {"index", "type", "text", "tone", "intent", "advice", "suggestions"}
    assert (output["index"], output["type"], len(output["suggestions"])) == (0, "analysis", 3)


def test_the_action_says_how_deep_it_goes_and_how_many_replies_it_suggests(caller: Caller) -> None:
    free = {"title": "Chat", "kind": "chat", "wallet": "credits", "price": {"form": "fixed", "amount": 0}}
    sell(actions={"short": free, "long": {**free, "options": {"depth": "long", "replies": 7}}})
    short, long = (
        _complete(caller, caller.submit("See you at eight?", action=action))["outputs"][0]
        for action in ("short", "long")
    )
    assert len(short["suggestions"]) == 3
    assert len(set(long["suggestions"])) == 7
    assert long["text"].startswith(short["text"] + " ")


def test_a_suggestion_is_kept_word_for_word_and_once(caller: Caller, analysed: dict[str, Any]) -> None:
    body = {"job_id": analysed["id"], "suggestion": 1}
    first = caller.post("/v1/saved-replies", body)
    kept: dict[str, Any] = first.json or {}
    assert first.status_code == 201
    assert kept["text"] == analysed["outputs"][0]["suggestions"][1]
    assert (kept["object"], kept["job_id"], kept["output"], kept["suggestion"]) == (
        "saved_reply", analysed["id"], 0, 1,
    )  # fmt: skip
    again = caller.post("/v1/saved-replies", {**body, "output": 0})
    assert (again.status_code, again.json) == (200, kept)
    assert _all(caller) == [kept]


def test_saved_replies_are_paged_newest_first_and_can_be_forgotten(caller: Caller, analysed: dict[str, Any]) -> None:
    made = [caller.post("/v1/saved-replies", {"job_id": analysed["id"], "suggestion": n}).json or {} for n in (2, 0, 1)]
    assert _all(caller, limit=2) == made[::-1]
    path = f"/v1/saved-replies/{made[1]['id']}"
    assert _delete(caller, path) == 204
    assert _delete(caller, path) == 404
    assert _all(caller, limit=2) == [made[2], made[0]]
    anew = caller.post("/v1/saved-replies", {"job_id": analysed["id"], "suggestion": 0})
    assert (anew.status_code, (anew.json or {})["text"]) == (201, made[1]["text"])


def test_what_others_have_does_not_exist(caller: Caller, analysed: dict[str, Any], sign_up: SignUp) -> None:
    kept: dict[str, Any] = caller.post("/v1/saved-replies", {"job_id": analysed["id"], "suggestion": 0}).json or {}
    stranger = sign_up()
    answer = stranger.post("/v1/saved-replies", {"job_id": analysed["id"], "suggestion": 0})
    assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")
    assert _delete(stranger, f"/v1/saved-replies/{kept['id']}") == 404
    assert _all(stranger) == []
    assert _all(caller) == [kept]


def test_only_completed_chat_jobs_have_replies_to_save(caller: Caller) -> None:
    queued = (caller.submit().json or {})["id"]
    canceled = caller.submit().json or {}
    caller.post(canceled["urls"]["cancel"])
    vision = {"action": "vision", "input": {"prompt": "What is it?", "image_url": "https://example.com/a.png"}}
    seen = _complete(caller, caller.post("/v1/jobs", vision))
    for job_id in (queued, canceled["id"], seen["id"], NOBODY):
        answer = caller.post("/v1/saved-replies", {"job_id": job_id, "suggestion": 0})
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found"), job_id
    assert _all(caller) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"suggestion": 3}, "suggestion"),
        ({"suggestion": -1}, "suggestion"),
        ({"suggestion": "0"}, "suggestion"),
        ({"suggestion": True}, "suggestion"),
        ({}, "suggestion"),
        ({"suggestion": 0, "output": 1}, "output"),
        ({"suggestion": 0, "output": 10**400}, "output"),
        ({"suggestion": 0, "job_id": "nonsense"}, "job_id"),
        ({"suggestion": 0, "text": "my own"}, "text"),
    ],
)
def test_what_is_not_there_is_named(caller: Caller, analysed: dict[str, Any], body: dict[str, Any], field: str) -> None:
    answer = caller.post("/v1/saved-replies", {"job_id": analysed["id"], **body})
    assert answer.status_code == 422
    assert [error["field"] for error in (answer.json or {})["errors"]] == [field]
    assert _all(caller) == []


def _complete(caller: Caller, accepted: Any) -> dict[str, Any]:
    """Do the work of a job as a worker would."""
    assert accepted.status_code == 202, accepted.json
    with sessions() as session:
        claim = jobs.claim(session, UUID(accepted.json["id"]), lease_seconds=30)
        assert claim is not None
        made = MockProvider(0, scripts=False).generate(FakeCall(claim.kind, claim.input))
        outputs = store(claim, made.outputs)
        jobs.complete(session, claim, outputs=outputs, usage=dict(made.usage), delivered_percent=100)
    done: dict[str, Any] = caller.get(accepted.json["urls"]["get"]).json or {}
    assert done["status"] == "completed"
    return done


def _all(caller: Caller, *, limit: int = 20) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path = f"/v1/saved-replies?limit={limit}"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        found += page["saved_replies"]
        path = f"/v1/saved-replies?limit={limit}&after={page['next']}" if page["next"] else ""
    return found


def _delete(caller: Caller, path: str) -> int:
    return caller.client.delete(path, headers=caller.headers).status_code
