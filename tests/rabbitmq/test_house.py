"""The job flow of a whole running Coinop whose broker is RabbitMQ, on PostgreSQL."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from celery import Celery
from kombu import Connection
from sqlalchemy import create_engine, text

from config import settings
from ops.checks import queues
from tests.rabbitmq.server import VIRTUAL_HOST, RabbitMQ
from tests.system.house import House, cost, until
from tests.system.houses import Houses
from worker.rabbitmq import DEAD, DELIVERY_LIMIT

TAKEN = {"generation.high", "generation", "payments", "email", "maintenance"}


@pytest.fixture(scope="module")
def house(
    server: RabbitMQ, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    houses = Houses(request, tmp_path_factory, BROKER_URL=server.url, WAIT_SECONDS_MAX="20")
    yield houses.on("postgresql", selling="default")
    houses.close()


@pytest.fixture
def line(server: RabbitMQ, house: House) -> Iterator[Any]:
    """A channel of our own."""
    with Connection(server.url) as connection:  # type: ignore[no-untyped-call]
        yield connection.default_channel


def _dead(line: Any) -> int:
    return int(line.queue_declare(DEAD, passive=True).message_count)


def _doctor(server: RabbitMQ) -> str:
    """What the doctor says of this broker."""
    return "\n".join(map(str, queues.broker(settings().model_copy(update={"broker_url": server.url}))))


def _in_outbox(house: House) -> int:
    engine = create_engine(house.database_url)
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM outbox WHERE queue = 'generation'")).scalar_one()
    engine.dispose()
    return int(count)


def test_what_must_not_get_lost_is_in_quorum_queues_and_what_may_is_not(server: RabbitMQ, house: House) -> None:
    listed = server.control(
        "list_queues", "--vhost", VIRTUAL_HOST, "--formatter", "json",
        "name", "type", "durable", "exclusive", "arguments",
    )  # fmt: skip
    there = {each["name"]: each for each in json.loads(listed)}
    assert TAKEN | {DEAD} <= there.keys()
    for name in TAKEN:
        arguments = {key: value for key, _, value in there[name]["arguments"]}
        assert (there[name]["type"], there[name]["durable"]) == ("quorum", True)
        assert arguments == {
            "x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD,
        }  # fmt: skip
    assert there[DEAD]["type"] == "quorum"
    passing = [there[name] for name in there.keys() - TAKEN - {DEAD}]
    assert len(passing) >= 4, "of the workers and Flower"
    assert {(each["type"], each["durable"], each["exclusive"]) for each in passing} == {("classic", False, True)}


def test_a_job_is_done_and_charged_once_or_fails_and_is_refunded(house: House) -> None:
    user = house.sign_up()
    done, failed = user.submit(), user.submit("[mock:fail]")
    done, failed = user.ended(done), user.ended(failed)
    assert (done["status"], done["attempt"], cost(done)) == ("completed", 1, (5, 5, 0))
    assert [each[:2] for each in house.transfers(done)] == [("hold", 5), ("settle", 5)]
    assert (failed["status"], failed["error"]["code"], cost(failed)) == ("failed", "provider_refused", (5, 0, 5))
    assert [each[:2] for each in house.transfers(failed)] == [("hold", 5), ("release", 5)]
    assert user.balance() == {"available": 95, "held": 0, "debt": 0}


def test_who_waits_is_answered_though_nobody_announces_anything(house: House) -> None:
    user = house.sign_up()
    body = {"action": "chat", "input": {"prompt": "[mock:latency=1]"}}
    answer = user.http.post("/v1/jobs", json=body, headers={"Prefer": "wait=20"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=20")
    assert answer.json()["status"] == "completed"


def test_a_job_outlives_its_worker_and_is_charged_once(house: House) -> None:
    user = house.sign_up()
    job = user.submit("[mock:latency=1]")
    user.became(job, "running")
    house.kill("generation@")
    job = user.ended(job)
    assert (job["status"], job["attempt"], cost(job)) == ("completed", 2, (5, 5, 0))
    assert house.transfers(job) == [("hold", 5, 95), ("settle", 5, 95)]
    assert user.balance() == {"available": 95, "held": 0, "debt": 0}


def test_what_nobody_can_read_or_knows_goes_to_the_dead_and_disturbs_nothing(house: House, line: Any) -> None:
    user = house.sign_up()
    before = _dead(line)
    unknown = line.prepare_message(
        '[[], {}, {}]', content_type="application/json", content_encoding="utf-8",
        headers={"task": "generation.unknown", "id": "1", "lang": "py"}, properties={"correlation_id": "1"},
    )  # fmt: skip
    noise = line.prepare_message(b"\x80\x04noise", content_type="application/x-python-serialize")
    torn = line.prepare_message(
        "{", content_type="application/json", content_encoding="utf-8", headers={"task": "generation.run", "id": "2"}
    )
    for message in (unknown, noise, torn):
        line.basic_publish(message, exchange="", routing_key="generation")
    jobs = [user.submit(str(number)) for number in range(5)]
    assert [user.ended(job)["status"] for job in jobs] == ["completed"] * 5
    until(lambda: _dead(line) == before + 3)
    assert [user.ended(user.submit())["attempt"] for _ in range(2)] == [1, 1], "its worker lives"


def test_a_job_whose_wake_up_died_is_woken_again(server: RabbitMQ, house: House, line: Any) -> None:
    user = house.sign_up()
    before = _dead(line)
    worker = {"destination": [f"generation@{socket.gethostname()}"], "reply": True, "timeout": 10}
    control = Celery(broker=server.url, set_as_current=False).control
    assert control.cancel_consumer("generation", **worker)
    job = user.submit()
    taken = until(lambda: line.basic_get("generation"))
    line.basic_reject(taken.delivery_tag, requeue=False)
    until(lambda: _dead(line) == before + 1)
    assert control.add_consumer("generation", **worker)
    assert user.job(job)["status"] == "queued"
    engine = create_engine(house.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET run_after = now() - interval '1 minute' WHERE id = :id"), job)
    engine.dispose()
    assert user.ended(job)["status"] == "completed"
    assert house.transfers(job) == [("hold", 5, 95), ("settle", 5, 95)]


def test_flower_shows_jobs_under_their_own_id(house: House) -> None:
    user = house.sign_up()
    flower = httpx.Client(
        base_url=f"http://127.0.0.1:{house.flower_port}", timeout=15,
        auth=("coinop", house.secret("FLOWER_PASSWORD")),
    )  # fmt: skip

    def shown() -> bool:
        job = user.ended(user.submit())
        answer = flower.get(f"/api/task/info/{job['id']}")
        return answer.status_code == 200 and answer.json()["state"] == "SUCCESS"

    until(shown)


def test_a_queue_that_somebody_deletes_is_made_again(house: House, line: Any) -> None:
    line.queue_delete("generation")
    user = house.sign_up()
    job = user.ended(user.submit())
    assert (job["status"], cost(job)) == ("completed", (5, 5, 0))


def test_jobs_are_accepted_while_the_broker_is_frozen_full_or_gone_and_done_afterwards(
    server: RabbitMQ, house: House
) -> None:
    user = house.sign_up()
    with server.frozen():
        jobs = [user.submit(str(number)) for number in range(3)]
        assert "does not answer" in _doctor(server)
        assert _in_outbox(house) == 3, "none is forgotten before it is confirmed"
    assert [user.ended(job)["status"] for job in jobs] == ["completed"] * 3

    server.control("set_vm_memory_high_watermark", "0.00001")
    try:
        jobs = [user.submit(str(number)) for number in range(3)]
        assert "takes no messages: it says that memory or a disk is full" in _doctor(server)
    finally:
        server.control("set_vm_memory_high_watermark", "0.4")
    assert [user.ended(job)["status"] for job in jobs] == ["completed"] * 3

    server.kill()
    jobs = [user.submit(str(number)) for number in range(3)]
    assert "does not answer" in _doctor(server)
    server.start()
    assert [user.ended(job)["status"] for job in jobs] == ["completed"] * 3
    assert user.balance() == {"available": 55, "held": 0, "debt": 0}

    job = user.ended(user.submit("[mock:fail-twice]"))
    assert (job["status"], cost(job)) == ("completed", (5, 5, 0))
    assert job["attempt"] == 3, "beat is back, too: it has retries published"
    told = house.flask("doctor").stdout
    for queue in TAKEN:
        assert f"{queue} is a quorum queue" in told
        assert f"{queue} is taken by" in told
    assert f"messages are in {DEAD}" in told, "of the tests before"
