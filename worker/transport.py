"""Kombu's Redis transport, with the repair that a worker needs to outlive its broker's restarts.

When a connection is lost, the tasks that run still have messages of its channels, to be acknowledged or given back. A
channel that is closed already then makes itself a new connection pool, finds no address, and raises AttributeError,
which nobody expects: the worker ends as "Unrecoverable error", with all it was running. That these messages can not
be acknowledged any more is an ordinary connection error, which Celery logs and forgets; the broker delivers them
again, and the claim of the job sorts that out.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel

_parameters_of: Any = Channel._connparams


def _parameters_while_open(channel: Channel, *args: Any, **options: Any) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("this channel was closed when its connection was lost")
    return _parameters_of(channel, *args, **options)


def repair() -> None:
    """Let a closed channel fail as one; for kombu 5.7. Doing it twice changes nothing."""
    Channel._connparams = _parameters_while_open  # type: ignore[assignment, method-assign]
