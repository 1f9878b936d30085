"""How long what a job made is kept: until its user deletes it, its time is over, or the account closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import event, update

from models import jobs
from models.closing import GRACE_SECONDS
from models.database import engine, is_postgresql, moment, sessions
from models.jobs import Job, outputs
from models.users import User
from tasks.generation import run
from tasks.maintenance import close_accounts
from tasks.outputs import delete_old_outputs, delete_orphaned_outputs
from tests.http.conftest import PASSWORD, Caller
from tests.outputs import making, s3
from tests.outputs.making import PNG, WORDS
from worker.ai.outputs import store
from worker.storage import Storage, StorageUnavailable, storage

DELETED = {"url": None, "download_url": None, "download_expires_at": None, "deleted": True}


def code_of(caller: Caller, path: str, method: str = "GET") -> tuple[int, str]:
    answer = caller.client.open(path, method=method, headers=caller.headers)
    return answer.status_code, (answer.json or {})["code"]


def delete(caller: Caller, job_id: str) -> int:
    return caller.client.delete(f"/v1/jobs/{job_id}/outputs", headers=caller.headers).status_code


def link_of(job: dict[str, Any]) -> str:
    return urlsplit(str(job["outputs"][-1]["download_url"])).path


def test_a_user_deletes_what_a_job_made(stored: Storage, caller: Caller, sign_up: Callable[[], Caller]) -> None:
    job, other = making.made(caller, WORDS, PNG, PNG), making.made(caller)
    storage().put(f"{job['id']}/9/0", b"of an attempt that was overtaken")
    stranger = sign_up()
    assert delete(stranger, job["id"]) == 404
    assert caller.client.delete(f"/v1/jobs/{job['id']}/outputs").status_code == 401
    assert len(making.left()) == 4, "it is not theirs"
    before = caller.get(f"/v1/jobs/{job['id']}").headers["ETag"]
    for _ in range(2):
        assert delete(caller, job["id"]) == 204
        assert making.left() == {f"{other['id']}/1/0"}
    seen = making.shown(caller, job["id"])
    words, *files = seen["outputs"]
    assert words["text"] == WORDS.text, "words are part of the job"
    for file in files:
        assert file == {**file, **DELETED, "media_type": "image/png", "sha256": making.SHA256}
    assert {**seen, "outputs": 0} == {**job, "outputs": 0}, "what it cost stays as it is"
    assert caller.get(f"/v1/jobs/{job['id']}", **{"If-None-Match": before}).status_code == 200
    for path in (files[0]["url"] or f"/v1/jobs/{job['id']}/outputs/1", link_of(job)):
        assert code_of(caller, path) == (410, "output_gone")
    assert code_of(caller, f"/v1/jobs/{job['id']}/outputs/0")[0] == 404
    assert making.shown(caller, other["id"])["outputs"][0]["deleted"] is False


def test_what_a_job_still_makes_cannot_be_deleted(folder: Storage, caller: Caller) -> None:
    held = making.claimed(caller)
    here = f"/v1/jobs/{held.job_id}/outputs"
    assert code_of(caller, here, "DELETE") == (409, "job_not_finished")
    making.done(held, WORDS)
    before = caller.get(f"/v1/jobs/{held.job_id}").headers["ETag"]
    assert delete(caller, str(held.job_id)) == 204
    assert caller.get(f"/v1/jobs/{held.job_id}").headers["ETag"] == before, "there was nothing to delete"


def test_nothing_is_deleted_while_the_storage_is_away(bucket: Storage, service: s3.Service, caller: Caller) -> None:
    job = making.made(caller)
    service.refuses = lambda request: request.method in ("POST", "DELETE")
    with mock.patch("time.sleep"):
        assert code_of(caller, f"/v1/jobs/{job['id']}/outputs", "DELETE") == (503, "storage_unavailable")
        making.let_end(job["id"], days=31)
        delete_old_outputs()
    assert making.shown(caller, job["id"])["outputs"][0]["deleted"] is False
    service.get_over_it()
    assert delete(caller, job["id"]) == 204
    assert making.left() == set()


def test_files_are_deleted_when_their_time_is_over(stored: Storage, caller: Caller) -> None:
    old, older, words = making.made(caller, PNG, PNG), making.made(caller), making.made(caller, WORDS)
    young, running = making.made(caller), making.claimed(caller)
    store(running, [PNG])
    for job, days in ((old, 30.01), (older, 400), (words, 400), (young, 29.99)):
        making.let_end(job["id"], days=days)
    with mock.patch("tasks.outputs.PAGE", 1):
        delete_old_outputs()
    assert making.left() == {f"{young['id']}/1/0", f"{running.job_id}/1/0"}
    for job in (old, older):
        seen = making.shown(caller, job["id"])
        assert [file["deleted"] for file in seen["outputs"]] == [True] * len(job["outputs"])
        assert code_of(caller, f"/v1/jobs/{job['id']}/outputs/0") == (410, "output_gone")
    assert making.shown(caller, words["id"])["outputs"] == words["outputs"]
    assert caller.get(f"/v1/jobs/{young['id']}/outputs/0").status_code == 200


def test_nothing_is_ever_over_where_it_is_kept_for_ever(folder: Storage, caller: Caller) -> None:
    making.let_end(making.made(caller)["id"], days=4000)
    with mock.patch("tasks.outputs.settings") as settings:
        settings.return_value.output_days = 0
        delete_old_outputs()
    assert len(making.left()) == 1


def test_one_file_that_cannot_be_deleted_keeps_no_other(folder: Storage, caller: Caller) -> None:
    made = [making.made(caller)["id"] for _ in range(4)]
    for number, job_id in enumerate(made):
        making.let_end(job_id, days=100 - number)
    real = folder.delete

    def refusing(*stuck: str) -> None:
        def refuse(*keys: str) -> None:
            if any(key.startswith(stuck) for key in keys):
                raise StorageUnavailable("The disk refused: EPERM.")
            real(*keys)

        with mock.patch.object(folder, "delete", side_effect=refuse):
            delete_old_outputs()

    refusing(made[0])
    assert making.left() == {f"{made[0]}/1/0"}
    kept = [making.made(caller)["id"] for _ in range(4)]
    for job_id in kept:
        making.let_end(job_id, days=50)
    refusing(*kept, made[0])
    assert len(making.left()) == 5
    delete_old_outputs()
    assert making.left() == set()


def test_files_that_nobody_can_ask_for_are_deleted_once_they_are_old(stored: Storage, caller: Caller) -> None:
    job, deleted, running = making.made(caller), making.made(caller), making.claimed(caller)
    waits = UUID((caller.submit(action="image").json or {})["id"])
    with sessions() as session:
        outputs.deleted(session, [UUID(deleted["id"])])
        jobs.request_cancel(session, user_id=session.get_one(Job, waits).user_id, job_id=waits)
    kept = {f"{job['id']}/1/0", f"{running.job_id}/1/0", f"{uuid4()}/1/0", "uploads/ann/a"}
    orphans = {f"{job['id']}/2/0", f"{job['id']}/1/1", f"{waits}/1/0", f"{deleted['id']}/1/0"}
    for key in kept | orphans:
        storage().put(key, b"x")
    delete_orphaned_outputs()
    assert making.left() == kept | orphans, "they are young: somebody may be about to name them"
    with mock.patch("tasks.outputs.ORPHANED_SECONDS", -60.0), mock.patch("tasks.outputs.PAGE", 2):
        delete_orphaned_outputs()
    assert making.left() == kept


def test_files_go_with_the_account(bucket: Storage, service: s3.Service, caller: Caller) -> None:
    """On S3; on a folder tests/accounts/test_closing.py has it."""
    job = making.made(caller)
    storage().put(f"uploads/{caller.tokens['user']['id']}/a", b"x")
    kept = making.made(_another(caller))
    answer = caller.client.delete("/v1/me", json={"password": PASSWORD}, headers=caller.headers)
    assert answer.status_code == 202
    with sessions() as session:
        then = moment(session, plus=-GRACE_SECONDS - 1)
        session.execute(update(User).where(User.closing_at.is_not(None)).values(closing_at=then))
    service.refuses = lambda request: request.method == "POST"
    with mock.patch("time.sleep"):
        close_accounts()
    assert len(making.left()) == 3, "not erased while files would be left behind"
    service.get_over_it()
    close_accounts()
    assert making.left() == {f"{kept['id']}/1/0"}
    with sessions() as session:
        assert session.get_one(Job, UUID(job["id"])).outputs is None
        assert session.get_one(User, UUID(caller.tokens["user"]["id"])).closed_at is not None


def _another(caller: Caller) -> Caller:
    email = f"{uuid4().hex}@example.com"
    answer = caller.client.post("/v1/auth/signup", json={"email": email, "password": PASSWORD})
    return Caller(caller.client, email, answer.json or {})


def test_what_is_over_is_found_by_its_index(caller: Caller) -> None:
    """However many jobs there are: the conditions of the query and of the index are the same, word for word."""
    asked = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        asked.append((statement, parameters))

    with sessions() as session:
        first = outputs.Over(uuid4(), moment(session, plus=0), ())
        event.listen(engine(), "before_cursor_execute", note)
        outputs.over(session, days=30, limit=500, after=first)
        event.remove(engine(), "before_cursor_execute", note)
        statement, parameters = asked[-1]
        connection = session.connection()
        if is_postgresql(session):
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if is_postgresql(session) else "EXPLAIN QUERY PLAN"
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())  # type: ignore[arg-type]
    assert "ix_jobs_finished_at" in plan, plan


def test_what_could_not_be_stored_is_made_again_and_paid_once(
    bucket: Storage, service: s3.Service, caller: Caller
) -> None:
    made = caller.submit(action="image").json or {}
    price, before = made["cost"]["held"], caller.balance()
    service.refuses = lambda _: True
    with mock.patch("botocore.endpoint.time.sleep"):
        run(made["id"])
    waits = making.shown(caller, made["id"])
    assert (waits["status"], waits["error"]["code"]) == ("queued", "storage_unavailable")
    assert (waits["cost"]["held"], waits["cost"]["charged"]) == (price, 0)
    with sessions() as session:
        [attempt] = jobs.attempts_of(session, UUID(made["id"]))
    assert attempt.usage, "what was used was used"
    assert caller.balance() == before
    service.get_over_it()
    with sessions() as session:
        session.execute(update(Job).values(run_after=moment(session, plus=-1)))
    run(made["id"])
    done = making.shown(caller, made["id"])
    assert (done["status"], done["cost"]["charged"], done["cost"]["refunded"]) == ("completed", price, 0)
    assert caller.balance()["held"] == 0
    assert making.left() == {f"{made['id']}/2/0"}


def test_what_can_never_be_stored_costs_nothing(folder: Storage, caller: Caller) -> None:
    before = caller.balance()
    made = caller.submit(action="image").json or {}
    with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
        for _ in range(20):
            with sessions() as session:
                session.execute(update(Job).values(run_after=moment(session, plus=-1)))
            run(made["id"])
    failed = making.shown(caller, made["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "storage_unavailable")
    assert (failed["cost"]["charged"], failed["cost"]["refunded"]) == (0, failed["cost"]["held"])
    assert caller.balance() == before
    assert making.left() == set()
