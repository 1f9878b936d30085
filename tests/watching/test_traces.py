"""Traces: one for a request and all that is done for it; and whoever receives them can be away."""

from __future__ import annotations

import ast
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import tracing
from config import ROOT
from models.database import sessions
from models.jobs import Job
from models.outbox import Outbox
from tests.http.conftest import PASSWORD, Caller
from tests.watching import conftest
from tests.watching.conftest import House
from tests.watching.receivers import Receiver, Span
from worker import relay

ASKED = "asked-by-my-front-end.7"
CANARY = f"canary{secrets.token_hex(8)}"
KEY = f"key-of-the-collector-{secrets.token_hex(8)}"

Traced = Callable[..., AbstractContextManager[House]]


@pytest.fixture
def database(sqlite: str) -> str:
    return sqlite


@pytest.fixture
def traced(database: str, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Traced:
    """A house that sends its traces to the receiver, or wherever its settings say."""

    @contextmanager
    def make(**variables: str) -> Iterator[House]:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **variables}
        with conftest.house(monkeypatch, receiver, **given) as house:
            yield house

    return make


def _sign_up(house: House, **headers: str) -> Caller:
    body = {"email": f"{CANARY}@example.com", "password": PASSWORD}
    answer = house.client.post("/v1/auth/signup", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return Caller(house.client, body["email"], answer.json or {})


def _order(caller: Caller, prompt: str = CANARY, **headers: str) -> str:
    answer = caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": prompt}}, **headers)
    assert answer.status_code == 202, answer.text
    return str((answer.json or {})["id"])


def _sent(house: House) -> dict[str, Span]:
    tracing.close()
    spans = house.receiver.spans
    assert len({span.id for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def test_one_trace_goes_from_the_request_through_the_relay_and_tasks_to_provider_and_mail(traced: Traced) -> None:
    with traced(OTEL_EXPORTER_OTLP_HEADERS=f"x-key=Key%20{KEY}") as house:
        caller = _sign_up(house, **{"X-Request-Id": ASKED})
        mail = house.wire.work()
        job_id = _order(caller, **{"X-Request-Id": ASKED})
        run = house.wire.work()
        assert caller.get(f"/v1/jobs/{job_id}", **{"X-Request-Id": "another"}).json["status"] == "completed"  # type: ignore[index]
        assert house.client.get("/healthz").status_code == 200
        spans = _sent(house)
    looked = spans.pop("GET /v1/jobs/<job_id>")
    assert looked.trace_id != spans["POST /v1/jobs"].trace_id
    assert {name: span.kind for name, span in spans.items()} == {
        "POST /v1/auth/signup": "server",
        "publish email.deliver": "producer",
        "email.deliver": "consumer",
        "hand over mail": "client",
        "POST /v1/jobs": "server",
        "publish generation.run": "producer",
        "generation.run": "consumer",
        "ask mock": "client",
    }
    assert {span.trace_id for span in spans.values()} == {tracing.trace_id(ASKED)}
    for line in (
        ("POST /v1/auth/signup", "publish email.deliver", "email.deliver", "hand over mail"),
        ("POST /v1/jobs", "publish generation.run", "generation.run", "ask mock"),
    ):
        assert [spans[name].parent for name in line] == ["", *(spans[name].id for name in line[:-1])]
    assert {span.service for span in spans.values()} == {"coinop-command"}
    assert not any(span.error for span in spans.values())
    ended = spans["generation.run"].about
    assert ended["messaging.message.id"] == job_id
    assert (ended["coinop.kind"], ended["coinop.attempt"], ended["coinop.ending"]) == ("chat", 1, "completed")
    assert spans["POST /v1/jobs"].about == {
        "http.request.method": "POST", "http.route": "/v1/jobs", "http.response.status_code": 202,
        "coinop.request_id": ASKED,
    }  # fmt: skip
    for message in (mail, run):
        assert message["bound"]["trace_id"] == tracing.trace_id(ASKED)
        assert message["bound"]["request_id"] == ASKED
    sent = house.receiver.text()
    assert [word for word in (CANARY, PASSWORD, KEY) if word in sent] == []
    assert house.receiver.requests[0][1]["x-key"] == f"Key {KEY}"


def test_what_a_sweep_publishes_later_belongs_to_the_same_trace(traced: Traced) -> None:
    """A retry after a back-off is published by whoever finds it in the outbox, where only the request id is."""
    with traced() as house:
        caller = _sign_up(house)
        house.wire.work()
        job_id = _order(caller, "x [mock:unavailable]", **{"X-Request-Id": ASKED})
        house.wire.work()
        with sessions() as session:
            (row,) = session.scalars(select(Outbox))
            row.due_at = row.due_at.replace(year=2020)
            job = session.scalars(select(Job)).one()
            job.run_after = job.created_at
        assert relay.sweep(house.wire) == 1
        house.wire.work()
        tracing.close()
        spans = house.receiver.spans
    attempts = [span for span in spans if span.name == "generation.run"]
    assert [span.about["coinop.attempt"] for span in attempts] == [1, 2]
    assert {span.about["messaging.message.id"] for span in attempts} == {job_id}
    assert {span.trace_id for span in attempts} == {tracing.trace_id(ASKED)}
    asked = [span for span in spans if span.name == "ask mock"]
    assert [(span.error, span.about["error.type"]) for span in asked] == [(True, "provider_unavailable")] * 2


def test_a_trace_that_a_caller_began_goes_on(traced: Traced) -> None:
    theirs, span = "1af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    header = {"traceparent": f"00-{theirs}-{span}-00"}
    with traced() as house:
        answer = house.client.get("/v1/actions", headers=header)
        assert answer.headers["X-Request-Id"] == theirs
        house.client.get("/v1/packs", headers={**header, "X-Request-Id": ASKED})
        made_up = house.client.get("/v1/plans", headers={"traceparent": f"00-{'0' * 32}-{span}-01"})
        spans = _sent(house)
    gone_on, linked, new = (spans[f"GET /v1/{noun}"] for noun in ("actions", "packs", "plans"))
    assert (gone_on.trace_id, gone_on.parent, gone_on.links) == (theirs, span, ())
    assert (linked.trace_id, linked.parent, linked.links) == (tracing.trace_id(ASKED), "", (theirs,))
    assert (new.trace_id, new.parent, new.links) == (made_up.headers["X-Request-Id"], "", ())


def test_a_share_of_all_traces_is_sent_and_each_of_them_whole(traced: Traced) -> None:
    with traced(OTEL_TRACES_SAMPLER_ARG="0.5") as house:
        caller = _sign_up(house)
        house.wire.work()
        for number in range(12):
            _order(caller, **{"X-Request-Id": f"asked-{number}"})
            house.wire.work()
        tracing.close()
        spans = house.receiver.spans
    of_jobs = {f"asked-{number}": tracing.trace_id(f"asked-{number}") for number in range(12)}
    taken = {
        name: sorted(span.name for span in spans if span.trace_id == trace_id) for name, trace_id in of_jobs.items()
    }
    assert [names for names in taken.values() if names not in ([], WHOLE)] == []
    assert 0 < sum(bool(names) for names in taken.values()) < 12


WHOLE = ["POST /v1/jobs", "ask mock", "generation.run", "publish generation.run"]


def test_a_share_of_none_sends_nothing(traced: Traced) -> None:
    with traced(OTEL_TRACES_SAMPLER_ARG="0") as house:
        _order(_sign_up(house))
        house.wire.work()
        house.wire.work()
        tracing.close()
        assert house.receiver.requests == []


def test_what_breaks_is_an_error_without_its_words(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> Any:
        raise ValueError(CANARY)

    with traced() as house:
        monkeypatch.setattr("web.ops.readings", breaks)
        monkeypatch.setattr("web.catalog.shelf", breaks)
        assert house.client.get(f"/{CANARY}").status_code == 404
        assert house.client.get("/v1/actions").status_code == 500
        spans = _sent(house)
    assert (spans["none none"].error, spans["none none"].about["http.response.status_code"]) == (False, 404)
    assert (spans["GET /v1/actions"].error, spans["GET /v1/actions"].about["error.type"]) == (True, "500")
    assert CANARY not in house.receiver.text()


@pytest.mark.parametrize("trouble", ["nobody there", "hangs", "refuses"])
def test_nobody_waits_for_a_collector(traced: Traced, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setattr("tracing.spans.SEND_SECONDS", 0.3)
    monkeypatch.setattr("tracing.spans.DELAY_SECONDS", 0.01)
    monkeypatch.setattr("tracing.spans.QUEUE", 8)
    monkeypatch.setattr("tracing.spans.BATCH", 2)
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} if trouble == "nobody there" else {}
    with traced(**nowhere) as house:
        house.receiver.hangs, house.receiver.status = trouble == "hangs", 400
        caller = _sign_up(house)
        house.wire.work()
        assert nowhere or house.receiver.asked.wait(30)
        for _ in range(5):
            job_id = _order(caller)
            house.wire.work()
            assert caller.get(f"/v1/jobs/{job_id}").json["status"] == "completed"  # type: ignore[index]
        tracing.close()
        assert not house.receiver.let_go.is_set(), "it hangs still, and nobody waited for it"


AT_THE_END = {
    "a process that ends": "",
    "a process of gunicorn's": "import os, runpy; runpy.run_path('gunicorn.conf.py')['worker_exit'](0, 0); os._exit(0)",
    "a process of a pool of Celery's": "import os; from worker import watching; watching._close(); os._exit(0)",
}


@pytest.mark.parametrize("end", AT_THE_END)
def test_what_a_process_has_it_sends_before_it_ends(tmp_path: Path, receiver: Receiver, end: str) -> None:
    begin = "import tracing; tracing.serve('GET /', request_id='x', traceparent=None).end()\n"
    ended = _run(tmp_path, begin + AT_THE_END[end], OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert (ended.returncode, [span.name for span in receiver.spans]) == (0, ["GET /"]), ended


def _run(home: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"], "COINOP_HOME": str(home), "SECRET_KEY": "x" * 32, "JWT_SECRET_KEY": "y" * 32,
        **variables,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("opentelemetry", "sentry_sdk"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import wsgi, worker.app
worker.app.app.loader.import_default_modules()
assert wsgi.app.test_client().get("/healthz").status_code == 200
print([name for name in sys.modules if name in ("tasks.generation", "tracing", "tracing.spans", "reporting")])
"""


def test_without_the_settings_nothing_of_it_is_loaded_or_needed(tmp_path: Path) -> None:
    """Here it is not even there, as in an installation of requirements.txt alone: whoever asked for it would break."""
    ended = _run(tmp_path, WITHOUT)
    assert (ended.returncode, sorted(ast.literal_eval(ended.stdout))) == (0, ["tasks.generation", "tracing"]), ended
