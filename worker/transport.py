"""Kombu's Redis transport, with two repairs: a worker outlives its broker's restarts, and is quick to take messages.

When a connection is lost, the tasks that run still have messages of its channels, to be acknowledged or given back. A
channel that is closed already then makes itself a new connection pool, finds no address, and raises AttributeError,
which nobody expects: the worker ends as "Unrecoverable error", with all it was running. That these messages can not
be acknowledged any more is an ordinary connection error, which Celery logs and forgets; the broker delivers them
again, and the claim of the job sorts that out.

A channel also makes itself a new client for every single command, though all of them share one pool of connections.
Making one takes longer than most commands do: it was a fifth of what a worker did to take a message.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel

_parameters_of: Any = Channel._connparams
_new_client: Any = Channel._create_client


def _parameters_while_open(channel: Channel, *args: Any, **options: Any) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise ConnectionError("this channel was closed when its connection was lost")
    return _parameters_of(channel, *args, **options)


def _client_of_pool(channel: Channel, asynchronous: bool = False) -> Any:
    """The channel's one client of its pool; a client that reads by events has a connection of its own."""
    if asynchronous:
        return _new_client(channel, asynchronous=True)
    pool = channel.pool  # a new one after each lost connection
    kept = channel.__dict__.get("_kept_client")
    if kept is None or kept.connection_pool is not pool:
        kept = channel.__dict__["_kept_client"] = _new_client(channel)
    return kept


def repair() -> None:
    """Let a closed channel fail as one, and an open one keep its client; for kombu 5.7. Doing it twice is harmless."""
    Channel._connparams = _parameters_while_open  # type: ignore[assignment, method-assign]
    Channel._create_client = _client_of_pool  # type: ignore[method-assign]
