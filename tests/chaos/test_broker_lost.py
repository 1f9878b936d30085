"""What a worker makes of a lost broker, with the pinned Celery and kombu."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import kombu
import pytest

from ops import embedded
from worker import transport
from worker.app import app
from worker.consumer import RECONNECT_SECONDS, PersistentConsumer


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


def test_a_worker_looks_for_its_broker_at_a_steady_pace() -> None:
    class Nothing:
        alt = None
        transport = SimpleNamespace(driver_type="redis")

        def ensure_connection(self, *_: Any, **options: Any) -> Nothing:
            self.options = options
            return self

    consumer = PersistentConsumer.__new__(PersistentConsumer)
    consumer.app = app
    consumer.first_connection_attempt = True
    found = consumer.ensure_connected(Nothing())
    assert found.options["interval_start"] == found.options["interval_max"] == RECONNECT_SECONDS
    assert app.conf.worker_consumer == "worker.consumer:PersistentConsumer"
