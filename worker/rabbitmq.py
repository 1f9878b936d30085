"""RabbitMQ as the broker: what its queues are, and how it is made sure that it has a message.

Kombu sends a message to RabbitMQ and asks nothing, or asks after each, which is a trip and a write to disk for every
one. Here a batch is sent in one go, and is over when the broker has confirmed all of it: it is on the disks of most
nodes then, and in a queue. Whatever goes wrong, the line is given up with it, so that nothing which comes late is
taken for the answer to something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from kombu import Queue
from kombu.transport.pyamqp import Channel

ERRORS = (AMQPError, MessageNacked)
"""What goes wrong with RabbitMQ, beside `OSError`; the other transports never raise these."""

PATIENCE_SECONDS = 2.0
"""How long a broker may be silent that has something to answer."""

HEARTBEAT_SECONDS = 10
"""A worker's broker that is frozen, or cut off without a word, is given up after two of these."""

DEAD = "dead"
"""The queue of messages that nobody could do anything with."""

DELIVERY_LIMIT = 10
"""How often a message is delivered again. One that comes back more often kills whoever takes it."""

MOST_DEAD = 10_000
"""Of more dead messages the oldest are thrown away: they must not fill a disk."""

ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    # The nameless exchange leads to the queue of the same name as the key.
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
}
"""Of each queue that workers take. RabbitMQ refuses a queue that it has with others, so no setting is among them."""

DEAD_LETTERS = Queue(  # type: ignore[no-untyped-call]
    DEAD, durable=True, queue_arguments={"x-queue-type": "quorum", "x-max-length": MOST_DEAD}
)

TRANSPORT_OPTIONS: dict[str, object] = {
    # Of the socket: without them a frozen broker is waited for without end.
    "read_timeout": PATIENCE_SECONDS,
    "write_timeout": PATIENCE_SECONDS,
    # Connecting is tried once; who connects tries again.
    "max_retries": 0,
}


class Batch:
    """What is sent on a channel in confirm mode, until all of it is confirmed; Kombu's `Producer.batch` calls it."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        if "_confirms" not in channel.__dict__:
            channel.__dict__["_confirms"] = Confirms(channel)
        self._confirms: Confirms = channel.__dict__["_confirms"]

    def publish(self, message: Any, **how: Any) -> None:
        # Mandatory: a message that no queue takes is given back, as an error, before it is confirmed.
        self._confirms.send(message, **{**how, "mandatory": True, "timeout": PATIENCE_SECONDS})

    def flush(self) -> None:
        self._confirms.wait()

    def discard(self) -> None:
        """Nothing to do: what was sent may have arrived, and the line is given up."""

    def close(self) -> None:
        """Nothing to do: the channel is used again."""


class Confirms:
    """The messages of one channel that the broker has not confirmed, by the numbers that both count."""

    def __init__(self, channel: Any) -> None:
        channel.confirm_select()
        channel.events["basic_ack"].add(self._accepted)
        channel.events["basic_nack"].add(self._refused)
        self._channel = channel
        self._last = 0
        self._waiting: set[int] = set()

    def send(self, message: Any, *, confirm_timeout: object = None, **how: Any) -> None:
        self._last += 1
        self._waiting.add(self._last)
        self._channel.basic_publish(message, **how)

    def wait(self) -> None:
        """Until everything is confirmed. Raises `TimeoutError` when the broker is silent."""
        while self._waiting:
            self._channel.connection.drain_events(timeout=PATIENCE_SECONDS)

    def _accepted(self, number: int, multiple: bool) -> None:
        self._waiting -= set(range(min(self._waiting, default=number), number + 1)) if multiple else {number}

    def _refused(self, number: int, multiple: bool) -> None:
        raise MessageNacked(f"message {number}")


def keep_dead_letters(channel: Any) -> None:
    """Have the queue of the dead, which nobody takes from, and so nobody else would make."""
    DEAD_LETTERS(channel).queue_declare()  # type: ignore[no-untyped-call]


@contextmanager
def in_no_doubt(producer: Any) -> Iterator[None]:
    """Give the producer's connection up, without waiting for anybody, when the block fails."""
    try:
        yield
    except BaseException:
        connection = producer.connection
        if connection.transport.driver_type == "amqp":
            connection.collect()
        raise


def _batch(channel: Any, max_size: int) -> Batch:
    return Batch(channel)


def repair() -> None:
    """Let Kombu send batches to RabbitMQ, as it does to Redis; for kombu 5.7. Doing it twice is harmless."""
    Channel.create_publish_batch = _batch
