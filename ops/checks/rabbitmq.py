"""RabbitMQ, as far as a client can see it: how its nodes and their disks are, only its own tools can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amqp.exceptions import AccessRefused, NotAllowed, NotFound, PreconditionFailed
from kombu import Connection, Queue
from kombu.exceptions import KombuError

from config import Settings
from ops.findings import Finding, Verdict, fail, ok, warn
from worker.rabbitmq import ARGUMENTS, DEAD, ERRORS

PATIENCE_SECONDS = 2.0

USUAL_CONSUMER_TIMEOUT_SECONDS = 1800.0
"""How long a worker may hold a message, unless RabbitMQ was told otherwise."""

ANOTHER_KIND = "See docs/rabbitmq.md#a-queue-of-another-kind"


def broker(chosen: Settings, where: str) -> Iterator[Finding]:
    """What is found at `where`. A queue that is not there yet is left so."""
    blocked: list[str] = []
    try:
        with Connection(
            chosen.broker_url, connect_timeout=PATIENCE_SECONDS,
            transport_options={
                "read_timeout": PATIENCE_SECONDS, "write_timeout": PATIENCE_SECONDS, "confirm_publish": True,
                "on_blocked": blocked.append, "max_retries": 0,
            },
        ) as connection:  # type: ignore[no-untyped-call]  # fmt: skip
            connection.connect()
            said = connection.connection.server_properties
            yield ok(f"{where} answers: {said.get('product', 'no name')} {said.get('version', '')}")
            taking = _taking(connection, where, blocked)
            yield taking
            # It hears nothing on this line any more, once it has taken no message there.
            if taking.verdict is Verdict.ok:
                yield from _queues(connection)
                yield _dead(connection)
    except (AccessRefused, NotAllowed):
        yield fail(f"{where} refuses the password, or us at this virtual host", "See BROKER_URL")
    except (KombuError, OSError, *ERRORS) as error:
        yield fail(f"{where} does not answer ({type(error).__name__})", "Start it, or see BROKER_URL")
    if chosen.run_limit_seconds >= USUAL_CONSUMER_TIMEOUT_SECONDS:
        what = f"jobs may run for {chosen.run_limit_seconds:g} s, and RabbitMQ usually waits less for a message"
        yield warn(what, "Set its consumer_timeout higher: docs/rabbitmq.md#consumer_timeout")


def _taking(connection: Any, where: str, blocked: list[str]) -> Finding:
    """Send it what it throws away: when its memory or a disk is full it takes the first, says so, and reads no more."""
    channel = connection.channel()
    try:
        for _ in range(2):
            channel.basic_publish(channel.prepare_message(b""), exchange="", routing_key="coinop.doctor.nowhere")
    except TimeoutError:
        why = "it says that memory or a disk is full" if blocked else "it confirms nothing"
        return fail(f"{where} takes no messages: {why}", "See its log, and docs/runbook.md#broker")
    return ok(f"{where} takes messages")


def _queues(connection: Any) -> Iterator[Finding]:
    from worker.app import app

    for name in (queue.name for queue in app.conf.task_queues):
        yield _queue(connection, Queue(name, queue_arguments=ARGUMENTS))  # type: ignore[no-untyped-call]


def _queue(connection: Any, queue: Any) -> Finding:
    """Declared as it should be, a queue is a question: RabbitMQ refuses when it has it otherwise."""
    try:
        queue(connection.channel()).queue_declare(passive=True)
    except NotFound:
        return warn(f"{queue.name} is not there yet", "The first worker that takes it makes it")
    try:
        queue(connection.channel()).queue_declare()
    except PreconditionFailed:
        return fail(f"{queue.name} is no quorum queue, or not as ours are", ANOTHER_KIND)
    return ok(f"{queue.name} is a quorum queue")


def _dead(connection: Any) -> Finding:
    try:
        declared = connection.channel().queue_declare(DEAD, passive=True)
    except NotFound:
        return warn(f"{DEAD} is not there yet", "The first worker makes it")
    if declared.message_count:
        return warn(f"{declared.message_count} messages are in {DEAD}", "Look why: docs/rabbitmq.md#dead-letters")
    return ok(f"no messages are in {DEAD}")
