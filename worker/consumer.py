"""How a worker waits for its broker. `celeryconfig.py` names this class; only workers load it."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

RECONNECT_SECONDS = 2.0
"""How often a worker without a broker looks for it."""


class PersistentConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Celery's consumer, looking for a lost broker at a steady pace.

    Its own waits two seconds longer each time, up to thirty: after an outage of two minutes all queues would stand
    still for up to half a minute more.
    """

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=RECONNECT_SECONDS, interval_max=RECONNECT_SECONDS
        )
        return super().ensure_connected(conn)
