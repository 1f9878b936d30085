"""Celery's settings follow the broker: what one kind needs the other never hears of. No broker runs here."""

from __future__ import annotations

import inspect
import runpy
from typing import Any
from unittest import mock

import amqp
import pytest
from celery.app.defaults import NAMESPACES, flatten
from celery.worker.consumer import Consumer

from config import ROOT, Settings, settings
from ops import up
from worker.consumer import PersistentConsumer
from worker.rabbitmq import ARGUMENTS, DEAD

ON_REDIS = ["redis://broker/0", "rediss://broker/0", "unix:///run/broker"]
ON_RABBITMQ = ["amqp://coinop:x@broker/", "amqps://coinop:x@broker/coinop"]


def configured(url: str) -> dict[str, Any]:
    """What celeryconfig says with this broker."""
    with mock.patch("config.settings", return_value=settings().model_copy(update={"broker_url": url})):
        return runpy.run_path(str(ROOT / "celeryconfig.py"))


@pytest.mark.parametrize("url", ON_RABBITMQ)
def test_rabbitmq_keeps_every_queue_on_most_nodes_and_leads_to_the_dead(url: str) -> None:
    found = configured(url)
    assert found["broker_url"] == url
    assert len(found["task_queues"]) == 5
    for queue in found["task_queues"]:
        assert (queue.durable, queue.exclusive, queue.auto_delete) == (True, False, False)
        assert queue.queue_arguments == ARGUMENTS
        assert queue.exchange.name == queue.name, "each its own"
    assert DEAD not in {queue.name for queue in found["task_queues"]}, "no worker takes from it"
    assert ARGUMENTS["x-queue-type"] == "quorum"
    assert (ARGUMENTS["x-dead-letter-exchange"], ARGUMENTS["x-dead-letter-routing-key"]) == ("", DEAD)
    assert found["worker_detect_quorum_queues"], "which switches off what quorum queues refuse: a count for the channel"


def test_rabbitmq_is_told_only_what_its_client_knows() -> None:
    found = configured(ON_RABBITMQ[0])
    # It takes any name without a word.
    known = set(inspect.signature(amqp.Connection.__init__).parameters) | {"max_retries"}
    assert set(found["broker_transport_options"]) <= known
    assert found["broker_transport_options"]["read_timeout"] <= 2
    assert found["broker_transport_options"]["write_timeout"] <= 2
    assert found["broker_connection_timeout"] <= 2
    assert 2 * found["broker_heartbeat"] < settings().lease_seconds, "noticed before its jobs are taken away"


@pytest.mark.parametrize("url", ON_REDIS)
def test_redis_is_told_nothing_of_all_that(url: str) -> None:
    found = configured(url)
    assert {queue.queue_arguments for queue in found["task_queues"]} == {None}
    assert found["broker_transport_options"] == {
        "visibility_timeout": settings().visibility_timeout_seconds, "socket_timeout": 2.0,
        "socket_connect_timeout": 2.0, "socket_keepalive": True, "retry_on_timeout": False, "max_retries": 0,
        "unacked_restore_throttle": 1,
    }  # fmt: skip
    assert found["task_publish_retry"] is False


def test_both_have_the_same_queues_tasks_and_limits() -> None:
    one, other = configured(ON_REDIS[0]), configured(ON_RABBITMQ[0])
    differs = {"broker_url", "broker_transport_options", "task_queues", "task_publish_retry"}
    assert {queue.name for queue in one["task_queues"]} == {queue.name for queue in other["task_queues"]}
    known = dict(flatten(NAMESPACES))
    for name, value in one.items():
        if name in known and name not in differs:
            assert repr(other[name]) == repr(value), name


def test_a_worker_keeps_nothing_back_in_the_broker() -> None:
    """Celery would declare 28 queues for messages with a time of their own, of which there are none."""
    left_out = set(Consumer.Blueprint.default_steps) - set(PersistentConsumer.Blueprint.default_steps)
    assert left_out == {"celery.worker.consumer.delayed_delivery:DelayedDelivery"}


@pytest.mark.parametrize("url", [*ON_REDIS, *ON_RABBITMQ])
def test_up_runs_no_broker_beside_one_that_was_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "REDIS_URL"):
        monkeypatch.delenv(name)
    assert up.runs_own_broker(Settings())
    for name in ("BROKER_URL", "REDIS_URL"):
        with monkeypatch.context() as named:
            named.setenv(name, url)
            chosen = Settings()
            assert (chosen.broker_url, up.runs_own_broker(chosen)) == (url, False)
