"""What a worker makes of a lost broker, with the pinned Celery and kombu."""

from __future__ import annotations

from typing import Any
from unittest import mock

import kombu
import pytest

from ops import embedded
from worker import transport
from worker.app import app
from worker.consumer import EVENTS_SECONDS, RECONNECT_SECONDS, PersistentConsumer


def test_a_message_of_a_lost_connection_cannot_be_acknowledged_and_says_so() -> None:
    """The error is one that Celery expects; any other would end the worker."""
    transport.repair()
    library: Any = kombu  # untyped
    queue = library.Queue("lost", library.Exchange("lost"), routing_key="lost")
    taken: list[Any] = []
    with embedded.broker() as url:
        connection = library.Connection(url)
        with connection.Producer() as producer:
            producer.publish({}, exchange=queue.exchange, routing_key="lost", declare=[queue])
        with connection.Consumer([queue], callbacks=[lambda _, message: taken.append(message)]):
            connection.drain_events(timeout=10)
        # How far Celery comes in closing a connection whose broker is gone.
        channel = connection.default_channel
        channel._disconnect_pools()
        channel.connection.client = None
        with pytest.raises(connection.connection_errors):
            taken[0].ack()
        channel.connection.client = connection
        taken[0].ack()
        connection.close()


def test_a_channel_keeps_its_client_until_its_connections_are_lost() -> None:
    transport.repair()
    library: Any = kombu  # untyped
    with embedded.broker() as url:
        connection = library.Connection(url)
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
            assert first.ping()
        assert channel.client is not first, "that one waits for messages"
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()
        connection.close()


def test_a_worker_tells_of_many_tasks_at_once_and_of_each_in_time() -> None:
    class Loop:
        """The worker's, one step at a time."""

        def __init__(self) -> None:
            self.soon: list[Any] = []
            self.later: list[Any] = []

        def call_soon(self, callback: Any) -> None:
            self.soon.append(callback)

        def call_later(self, seconds: float, callback: Any) -> None:
            assert seconds == EVENTS_SECONDS
            self.later.append(callback)

    told: list[str] = []
    consumer = PersistentConsumer.__new__(PersistentConsumer)
    consumer.hub = loop = Loop()
    consumer._flush_events = lambda: told.append("all")
    with mock.patch("worker.consumer.time.monotonic", side_effect=[10.0, 10.0, 10.1, 10.0 + EVENTS_SECONDS]):
        for _ in range(3):
            consumer.on_send_event_buffered()
        assert len(loop.soon) == 1
        loop.soon.pop()()
        loop.later.pop()()
        assert told == ["all"]
        consumer.on_send_event_buffered()
    assert len(loop.soon) == 1, "also if the loop had forgotten the first"


def test_a_worker_looks_for_its_broker_at_a_steady_pace() -> None:
    class Nothing:
        alt = None

        def ensure_connection(self, *_: Any, **options: Any) -> Nothing:
            self.options = options
            return self

    consumer = PersistentConsumer.__new__(PersistentConsumer)
    consumer.app = app
    consumer.first_connection_attempt = True
    found = consumer.ensure_connected(Nothing())
    assert found.options["interval_start"] == found.options["interval_max"] == RECONNECT_SECONDS
    assert app.conf.worker_consumer == "worker.consumer:PersistentConsumer"
