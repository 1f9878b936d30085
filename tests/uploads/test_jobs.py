"""Jobs that begin with an upload: accepted with a good one of one's own, and not robbed of it while they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock
from uuid import UUID

import pytest

from models import jobs, uploads
from models.database import Prepared, engine, sessions
from models.jobs import Job
from tasks.uploads import clear_uploads, delete_orphaned_uploads
from tests.http.conftest import Caller, everything_stored
from tests.uploads.bringing import ask, bring, brought, let_be_over, let_expire, rows, stored
from tests.uploads.drawings import picture
from worker.storage import storage

__all__ = ["everything_stored"]

URL = "https://pictures.example/cat.png"
MORE: dict[str, dict[str, Any]] = {
    "vision": {"prompt": "What is it?"},
    "image_edit": {"prompt": "make it night"},
    "upscale": {"scale": 4},
    "lipsync": {"audio_url": "https://sounds.example/hello.wav"},
}
KINDS = pytest.mark.parametrize("action", MORE)
SignUp = Callable[[], Caller]
Count = Callable[[], dict[str, int]]


def _faults(answer: Any) -> list[str]:
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input"), answer.json
    return [error["field"] for error in answer.json["errors"]]


def _estimate(caller: Caller, action: str = "upscale", **values: Any) -> Any:
    return caller.post("/v1/jobs/estimate", {"action": action, "input": values})


def _input(job: dict[str, Any]) -> dict[str, Any]:
    with sessions() as session:
        return session.get_one(Job, UUID(job["id"])).input


# What is accepted


@KINDS
def test_every_kind_that_takes_a_picture_takes_an_upload(caller: Caller, action: str) -> None:
    upload = brought(caller)
    answer = ask(caller, action=action, upload=upload["id"], **MORE[action])
    assert answer.status_code == 202, answer.json
    kept = _input(answer.json or {})
    assert kept["upload"] == upload["id"]
    assert "image_url" not in kept
    by_address = ask(caller, action=action, image_url=URL, **MORE[action])
    assert by_address.status_code == 202, by_address.json
    assert "upload" not in _input(by_address.json or {})
    assert _estimate(caller, action, upload=upload["id"], **MORE[action]).status_code == 200


@KINDS
def test_it_is_one_of_both(caller: Caller, everything_stored: Count, action: str) -> None:
    upload = brought(caller)
    before = everything_stored()
    for values in ({}, {"upload": upload["id"], "image_url": URL}, {"upload": None, "image_url": None}):
        for answer in (
            ask(caller, action=action, **values, **MORE[action]), _estimate(caller, action, **values, **MORE[action]),
        ):  # fmt: skip
            assert _faults(answer) == ["input.image_url"]
            assert "`upload`" in (answer.json or {})["detail"]
    assert _faults(ask(caller, action=action, upload="cat", **MORE[action])) == ["input.upload"]
    assert everything_stored() == before


def test_the_upload_is_ones_own_and_has_not_expired(caller: Caller, sign_up: SignUp, everything_stored: Count) -> None:
    somebody, expired, deleted = brought(sign_up()), brought(caller, seed=1), brought(caller, seed=2)
    let_expire(expired["id"])
    caller.client.delete(f"/v1/uploads/{deleted['id']}", headers=caller.headers)
    before = everything_stored()
    for wrong in (somebody["id"], expired["id"], deleted["id"], "00000000-0000-7000-8000-000000000000"):
        for answer in (ask(caller, upload=wrong), _estimate(caller, upload=wrong)):
            assert _faults(answer) == ["input.upload"], "whether somebody else has it is told nobody"
    assert everything_stored() == before
    assert caller.balance() == {"available": 100, "held": 0, "debt": 0}


def test_a_key_is_answered_with_the_first_job_whatever_became_of_its_upload(caller: Caller) -> None:
    upload = brought(caller)
    first = ask(caller, upload=upload["id"], key="k1")
    assert first.status_code == 202
    caller.client.delete(f"/v1/uploads/{upload['id']}", headers=caller.headers)
    again = ask(caller, upload=upload["id"], key="k1")
    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert _faults(ask(caller, upload=upload["id"], key="k2")) == ["input.upload"]


def test_another_picture_is_another_request(caller: Caller) -> None:
    one, other = brought(caller, seed=1), brought(caller, seed=2)
    assert ask(caller, upload=one["id"], key="k1").status_code == 202
    answer = ask(caller, upload=other["id"], key="k1")
    assert (answer.status_code, (answer.json or {})["code"]) == (422, "idempotency_key_reused")


def test_jobs_without_an_upload_are_not_asked_for_one(caller: Caller) -> None:
    upload = brought(caller)
    asked: list[Any] = []
    look = Prepared.one_or_none

    def note(self: Prepared, session: Any, **values: Any) -> Any:
        asked.append(self)
        return look(self, session, **values)

    with mock.patch.object(Prepared, "one_or_none", note):
        assert caller.submit().status_code == 202
        assert ask(caller, image_url=URL).status_code == 202
        assert _estimate(caller, image_url=URL).status_code == 200
        assert uploads._GOOD not in asked
        assert ask(caller, upload=upload["id"]).status_code == 202
    assert uploads._GOOD in asked


def test_an_order_with_an_upload_takes_the_express_lane_too(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine().dialect.name != "postgresql":
        pytest.skip("SQLite has no express lane")
    upload = brought(caller)
    caller.submit()  # the first job of a user takes the steps
    monkeypatch.setattr("models.jobs.submit_step_by_step", mock.Mock(side_effect=AssertionError("it took the steps")))
    assert ask(caller, upload=upload["id"]).status_code == 202


# What is taken away, and when


def test_what_has_expired_is_taken_away_after_a_while(caller: Caller) -> None:
    young, expired, over = (brought(caller, seed=n) for n in range(3))
    let_expire(expired["id"])
    let_be_over(over["id"])
    for _ in range(2):
        clear_uploads()
        assert {key.rpartition("/")[2] for key in stored()} == {young["id"], expired["id"]}
        assert rows() == 2


@pytest.mark.parametrize("state", ["queued", "running", "canceling"])
def test_what_an_unfinished_job_names_stays(caller: Caller, state: str) -> None:
    upload, other = brought(caller, seed=1), brought(caller, seed=2)
    job: dict[str, Any] = ask(caller, upload=upload["id"]).json or {}
    claim = None
    with sessions() as session:
        if state != "queued":
            claim = jobs.claim(session, UUID(job["id"]), lease_seconds=30)
    if state == "canceling":
        assert caller.post(job["urls"]["cancel"]).status_code == 202
    for each in (upload, other):
        caller.client.delete(f"/v1/uploads/{each['id']}", headers=caller.headers)
    clear_uploads()
    assert {key.rpartition("/")[2] for key in stored()} == {upload["id"]}
    if claim is None:
        caller.post(job["urls"]["cancel"])
    else:
        with sessions() as session:
            if state == "running":
                jobs.fail(session, claim, code="c", message="m")
            else:
                jobs.cancel(session, claim, provider_began=False)
    clear_uploads()
    assert (rows(), stored()) == (0, set())


def test_a_job_that_was_submitted_just_before_the_end_finds_its_upload(caller: Caller) -> None:
    """Its upload was good when it was looked at, and the job is there only after the clean-up has looked."""
    upload = brought(caller)
    let_expire(upload["id"], seconds=uploads.GRACE_SECONDS - 60)
    clear_uploads()
    assert len(stored()) == 1


def test_many_are_cleared_page_by_page(caller: Caller) -> None:
    made = [brought(caller, seed=n)["id"] for n in range(7)]
    for each in made:
        let_be_over(each)
    with mock.patch("tasks.uploads.PAGE", 3):
        needed = ask_for_the_expired(caller, made[1])
        clear_uploads()
    assert {key.rpartition("/")[2] for key in stored()} == {needed}


def ask_for_the_expired(caller: Caller, upload_id: str) -> str:
    """Have an unfinished job name an upload that is over, as one does that has waited for days."""
    with mock.patch.object(uploads, "is_good", return_value=True):
        assert ask(caller, upload=upload_id).status_code == 202
    return upload_id


def test_a_clean_up_that_was_cut_short_is_made_up_for(caller: Caller) -> None:
    upload = brought(caller)
    let_be_over(upload["id"])
    with mock.patch.object(uploads, "forget", side_effect=RuntimeError), pytest.raises(RuntimeError):
        clear_uploads()
    assert (rows(), stored()) == (1, set())
    clear_uploads()
    assert rows() == 0


def test_files_that_belong_to_nothing_are_deleted_once_nobody_can_be_about_to_note_them(caller: Caller) -> None:
    kept = brought(caller)
    storage().put("uploads/somebody/orphan", b"x")
    storage().put("0190b6a0-0000-7000-8000-000000000001/1/0", b"what a job made")
    delete_orphaned_uploads()
    assert len(stored()) == 2
    with mock.patch("tasks.uploads.ORPHANED_SECONDS", -60.0), mock.patch("tasks.uploads.PAGE", 1):
        delete_orphaned_uploads()
    assert {key.rpartition("/")[2] for key in stored()} == {kept["id"]}
    assert storage().read("0190b6a0-0000-7000-8000-000000000001/1/0") == b"what a job made"


def test_a_row_never_comes_before_its_file(caller: Caller) -> None:
    with mock.patch.object(uploads, "add", side_effect=RuntimeError):
        assert bring(caller, picture()).status_code == 500
    assert (rows(), len(stored())) == (0, 1)
    with mock.patch("worker.storage.Folder.put", side_effect=OSError):
        assert bring(caller, picture()).status_code == 500
    assert rows() == 0
