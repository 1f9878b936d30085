"""The broker, asked directly: is it there, and how much is waiting."""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError

from worker import rabbitmq


def depth(app: Celery, queue: str) -> int | None:
    """How many messages of a queue no worker has taken yet, or None when the broker does not answer."""
    try:
        with app.connection_for_read() as connection:
            declared = connection.default_channel.queue_declare(queue=queue, passive=True)
            return int(declared.message_count)
    except (OperationalError, OSError):
        return None
    except connection.channel_errors:
        # Nobody has used this queue yet.
        return 0
    except rabbitmq.ERRORS:
        return None
