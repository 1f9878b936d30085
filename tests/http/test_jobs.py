"""Jobs over HTTP, up to the point where a worker would take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from models import jobs
from models.database import sessions
from models.jobs import Job, JobSlots
from tests.http.conftest import Caller

Count = Callable[[], dict[str, int]]


def test_an_estimate_says_what_it_costs_and_holds_nothing(caller: Caller, everything_stored: Count) -> None:
    before = everything_stored()
    answer = caller.post("/v1/jobs/estimate", {"action": "image", "input": {"prompt": "a fox"}})
    assert answer.json == {
        "action": "image",
        "wallet": "credits",
        "price": 10,
        "breakdown": [{"label": "Picture", "amount": 10}],
        "available": 100,
        "affordable": True,
    }
    assert everything_stored() == before


def test_submitting_holds_the_price_and_says_where_to_look(caller: Caller) -> None:
    answer = caller.submit()
    job: dict[str, Any] = answer.json or {}
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["urls"]["get"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert (job["object"], job["action"], job["status"], job["error"], job["outputs"]) == (
        "job", "chat", "queued", None, [],
    )  # fmt: skip
    assert job["cost"] == {
        "wallet": "credits", "estimate": 5, "held": 5, "charged": 0, "refunded": 0,
        "breakdown": [{"label": "Chat analysis", "amount": 5}],
    }  # fmt: skip
    assert caller.balance() == {"available": 95, "held": 5, "debt": 0}
    assert caller.get(job["urls"]["get"]).json == job


def test_polling_an_unchanged_job_costs_no_body(caller: Caller) -> None:
    job: dict[str, Any] = caller.submit().json or {}
    first = caller.get(job["urls"]["get"])
    assert first.status_code == 200
    again = caller.get(job["urls"]["get"], **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    caller.post(job["urls"]["cancel"])
    changed = caller.get(job["urls"]["get"], **{"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_too_few_credits_is_a_402_with_the_figures(caller: Caller, everything_stored: Count) -> None:
    assert caller.submit(action="video").status_code == 202
    assert caller.submit(action="video").status_code == 202
    before = everything_stored()
    answer = caller.submit(action="video")
    assert answer.status_code == 402
    problem: dict[str, Any] = answer.json or {}
    assert (problem["code"], problem["required"], problem["available"], problem["shortfall"]) == (
        "insufficient_credits", 40, 20, 20,
    )  # fmt: skip
    assert everything_stored() == before
    assert caller.balance() == {"available": 20, "held": 80, "debt": 0}


def test_repeating_a_request_with_its_key_gives_the_first_answer(caller: Caller) -> None:
    first = caller.submit(key="k1")
    again = caller.submit(key="k1")
    assert (again.status_code, again.json) == (202, first.json)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert caller.balance()["held"] == 5
    caller.post((first.json or {})["urls"]["cancel"])
    assert caller.submit(key="k1").json == first.json, "the first answer, whatever became of the job"


def test_a_key_belongs_to_one_request_and_one_user(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    assert caller.submit("one", key="k1").status_code == 202
    other_body = caller.submit("two", key="k1")
    assert other_body.status_code == 422
    assert (other_body.json or {})["code"] == "idempotency_key_reused"
    assert caller.balance()["held"] == 5
    other_user = sign_up().submit("two", key="k1")
    assert other_user.status_code == 202
    assert "Idempotency-Replayed" not in other_user.headers


def test_a_queued_job_is_canceled_with_a_full_refund_once(caller: Caller) -> None:
    job: dict[str, Any] = caller.submit().json or {}
    for _ in range(2):
        answer = caller.post(job["urls"]["cancel"])
        assert answer.status_code == 200
        assert (answer.json or {})["status"] == "canceled"
        assert (answer.json or {})["cost"]["refunded"] == 5
        assert caller.balance() == {"available": 100, "held": 0, "debt": 0}


def test_a_running_job_is_only_asked_to_stop(caller: Caller) -> None:
    job: dict[str, Any] = caller.submit().json or {}
    with sessions() as session:
        claim = jobs.claim(session, session.scalars(select(Job.id)).one(), lease_seconds=30)
    assert claim is not None
    for _ in range(2):
        answer = caller.post(job["urls"]["cancel"])
        assert (answer.status_code, (answer.json or {})["status"]) == (202, "canceling")
    with sessions() as session:
        jobs.cancel(session, claim, provider_began=False)
    done: dict[str, Any] = caller.get(job["urls"]["get"]).json or {}
    assert (done["status"], done["cost"]["charged"], done["cost"]["refunded"]) == ("canceled", 0, 5)


def test_a_finished_job_cannot_be_canceled(caller: Caller) -> None:
    job: dict[str, Any] = caller.submit().json or {}
    with sessions() as session:
        claim = jobs.claim(session, session.scalars(select(Job.id)).one(), lease_seconds=30)
        assert claim is not None
        jobs.complete(session, claim, outputs=[{"type": "text", "text": "yes"}], usage={}, delivered_percent=100)
    answer = caller.post(job["urls"]["cancel"])
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"], problem["status"]) == (409, "not_cancelable", 409)
    assert problem["job_status"] == "completed"
    assert caller.balance() == {"available": 95, "held": 0, "debt": 0}


def test_history_is_paged_newest_first_and_complete(caller: Caller) -> None:
    made = [(caller.submit(str(n)).json or {})["id"] for n in range(7)]
    seen: list[str] = []
    path = "/v1/jobs?limit=3"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += [job["id"] for job in page["jobs"]]
        path = f"/v1/jobs?limit=3&after={page['next']}" if page["next"] else ""
    assert seen == made[::-1]
    canceled = caller.post(f"/v1/jobs/{made[0]}/cancel").json
    assert (caller.get("/v1/jobs?status=canceled").json or {})["jobs"] == [canceled]


def test_a_user_has_only_so_many_jobs_at_once(caller: Caller, everything_stored: Count) -> None:
    with sessions() as session:
        assert caller.submit().status_code == 202
        slots = session.scalars(select(JobSlots)).one()
        slots.taken = 20
    before = everything_stored()
    answer = caller.submit()
    assert (answer.status_code, (answer.json or {})["code"]) == (429, "too_many_jobs")
    assert int(answer.headers["Retry-After"]) >= 1
    assert everything_stored() == before
    with sessions() as session:
        session.scalars(select(JobSlots)).one().taken = 1


def test_jobs_of_others_do_not_exist(caller: Caller, sign_up: Callable[[], Caller]) -> None:
    job: dict[str, Any] = caller.submit().json or {}
    stranger = sign_up()
    for answer in (
        stranger.get(job["urls"]["get"]),
        stranger.post(job["urls"]["cancel"]),
        stranger.get(f"/v1/jobs/{job['id']}/outputs/0"),
        stranger.get("/v1/jobs/00000000-0000-7000-8000-000000000000"),
    ):
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")
    assert (stranger.get("/v1/jobs").json or {})["jobs"] == []
    assert (stranger.get(f"/v1/jobs?after={job['id']}").json or {})["jobs"] == []
    assert caller.get(job["urls"]["get"]).json == job
