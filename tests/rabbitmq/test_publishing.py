"""A real RabbitMQ, and the relay and the doctor of this process: what is sent has arrived, or counts as not sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from kombu import Connection, pools

from config import settings
from models.outbox import Message
from ops.checks import queues
from ops.findings import Verdict
from tests.rabbitmq.server import RabbitMQ
from tests.rabbitmq.test_settings import configured
from tests.system.house import until
from worker import broker, rabbitmq, relay
from worker.rabbitmq import ARGUMENTS, DEAD, DELIVERY_LIMIT

Publish = Callable[[int], bool]


@pytest.fixture
def coinop(server: RabbitMQ) -> Iterator[Celery]:
    """The app, with this broker."""
    rabbitmq.repair()
    app = Celery(set_as_current=False)
    known = dict(flatten(NAMESPACES))
    app.conf.update({name: value for name, value in configured(server.url).items() if name in known})
    yield app
    app.close()
    # Its connections would remember that the queues were there.
    pools.reset()  # type: ignore[no-untyped-call]


@pytest.fixture
def publish(coinop: Celery) -> Publish:
    """Publish so many messages; says whether the broker has them all."""

    def publish(count: int) -> bool:
        ids = [uuid4() for _ in range(count)]
        return relay.publish(coinop, [Message(each, "email.deliver", str(each), "email", (), None) for each in ids])

    return publish


@pytest.fixture
def line(server: RabbitMQ) -> Iterator[Any]:
    with Connection(server.url) as connection:  # type: ignore[no-untyped-call]
        channel = connection.default_channel
        rabbitmq.keep_dead_letters(channel)
        yield channel
        for name in ("email", "poison", DEAD):
            channel.queue_delete(name)


def doctor(server: RabbitMQ, url: str = "") -> list[tuple[Verdict, str]]:
    chosen = settings().model_copy(update={"broker_url": url or server.url})
    return [(each.verdict, each.what) for each in queues.broker(chosen)]


def test_a_batch_is_published_when_all_of_it_is_confirmed(coinop: Celery, publish: Publish, line: Any) -> None:
    assert broker.depth(coinop, "email") == 0, "nobody has used it yet"
    assert publish(1)
    assert broker.depth(coinop, "email") == 1
    assert publish(relay.BATCH)
    assert broker.depth(coinop, "email") == relay.BATCH + 1


def test_a_frozen_broker_has_nothing_until_it_says_so(
    server: RabbitMQ, coinop: Celery, publish: Publish, line: Any
) -> None:
    assert publish(1)
    with server.frozen():
        assert not publish(3), "on a line that was good"
        assert not publish(3), "on a new one"
        assert broker.depth(coinop, "email") is None
    assert publish(3)
    until(lambda: (broker.depth(coinop, "email") or 0) >= 4)


def test_what_no_queue_takes_is_not_published(coinop: Celery, publish: Publish, line: Any) -> None:
    assert publish(1)
    line.queue_delete("email")
    assert not publish(2), "the broker would have thrown them away, and confirmed it"
    assert publish(2), "the queue is made again"
    assert broker.depth(coinop, "email") == 2


def test_what_a_full_broker_does_not_take_is_not_published(server: RabbitMQ, publish: Publish, line: Any) -> None:
    assert publish(1)
    server.control("set_vm_memory_high_watermark", "0.00001")
    try:
        assert not publish(3)
        assert doctor(server)[-1] == (
            Verdict.fail, "the broker at 127.0.0.1 takes no messages: it says that memory or a disk is full",
        )  # fmt: skip
    finally:
        server.control("set_vm_memory_high_watermark", "0.4")
    assert until(lambda: publish(3))


def test_a_message_that_comes_back_again_and_again_goes_to_the_dead(line: Any) -> None:
    line.queue_declare("poison", durable=True, auto_delete=False, arguments=ARGUMENTS)
    line.basic_publish(line.prepare_message(b"x"), exchange="", routing_key="poison")
    for _ in range(DELIVERY_LIMIT + 1):
        taken = until(lambda: line.basic_get("poison"))
        line.basic_reject(taken.delivery_tag, requeue=True)
    dead = until(lambda: line.basic_get(DEAD))
    assert dead.headers["x-death"][0]["queue"] == "poison"
    assert dead.headers["x-death"][0]["reason"] == "delivery_limit"
    assert line.basic_get("poison") is None


def test_the_doctor_knows_rabbitmq(server: RabbitMQ, publish: Publish, line: Any) -> None:
    said = doctor(server)
    assert said[0][0] is Verdict.ok
    assert said[0][1].startswith("the broker at 127.0.0.1 answers: RabbitMQ 3.")
    assert said[1] == (Verdict.ok, "the broker at 127.0.0.1 takes messages")
    assert (Verdict.warn, "email is not there yet") in said
    assert said[-1] == (Verdict.ok, f"no messages are in {DEAD}")
    assert publish(1)
    assert (Verdict.ok, "email is a quorum queue") in doctor(server)
    line.queue_delete("email")
    line.queue_declare("email", durable=True, auto_delete=False, arguments={"x-queue-type": "classic"})
    assert (Verdict.fail, "email is no quorum queue, or not as ours are") in doctor(server)
    line.basic_publish(line.prepare_message(b"x"), exchange="", routing_key=DEAD)
    assert until(lambda: (Verdict.warn, f"1 messages are in {DEAD}") in doctor(server))
    for wrong in (server.url.replace("guest@", "wrong@"), server.url + "-of-others"):
        [refused] = doctor(server, wrong)
        assert refused == (Verdict.fail, "the broker at 127.0.0.1 refuses the password, or us at this virtual host")
