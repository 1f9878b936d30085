"""How a worker deals with its broker: how it waits for it, and how often it tells of its tasks.

`celeryconfig.py` names this class; only workers load it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

RECONNECT_SECONDS = 2.0
"""How often a worker without a broker looks for it."""

EVENTS_SECONDS = 0.2
"""How long what there is to tell of tasks is collected: Flower shows it that much later, at most."""


class PersistentConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Celery's consumer, looking for a lost broker at a steady pace, and telling of tasks in batches.

    Its own waits two seconds longer each time, up to thirty: after an outage of two minutes all queues would stand
    still for up to half a minute more. And it publishes what it has to tell whenever it has taken a message, which was
    a quarter of what a worker did when many came.
    """

    _told_by = 0.0
    """When all that there was to tell will have been told, by the monotonic clock."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=RECONNECT_SECONDS, interval_max=RECONNECT_SECONDS
        )
        return super().ensure_connected(conn)

    def on_send_event_buffered(self) -> None:
        """Called with each event, by the threads that run tasks as well."""
        now = time.monotonic()
        if self.hub and now >= self._told_by:
            self._told_by = now + EVENTS_SECONDS
            # Only the loop's own thread may set its timers.
            self.hub.call_soon(self._tell_later)

    def _tell_later(self) -> None:
        self.hub.call_later(EVENTS_SECONDS, self._flush_events)
