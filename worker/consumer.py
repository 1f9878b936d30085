"""How a worker waits for its broker. `celeryconfig.py` names this class; only workers load it."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from celery.worker.consumer import Consumer

from worker import rabbitmq

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 2.0
"""How often a worker without a broker looks for it."""


class PersistentConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Celery's consumer, looking for a lost broker at a steady pace.

    Its own waits two seconds longer each time, up to thirty: after an outage of two minutes all queues would stand
    still for up to half a minute more.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Without the step that has RabbitMQ keep messages back until their time: 28 quorum queues, and nobody here
        sends such a message (what is due later waits in the database)."""

        default_steps = tuple(step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step)

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=RECONNECT_SECONDS, interval_max=RECONNECT_SECONDS
        )
        connected = super().ensure_connected(conn)
        if connected.transport.driver_type == "amqp":
            rabbitmq.keep_dead_letters(connected.default_channel)
        return connected

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """What cannot be read is taken from its queue: RabbitMQ keeps it among the dead, Redis forgets it."""
        log.error("message_not_readable", error=type(exc).__name__, size=len(message.body or b""))
        message.reject()
