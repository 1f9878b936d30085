"""The relay: from outbox to broker, off the request.

Once a transaction commits, what it staged is handed to a thread of this process, which publishes in batches and then
deletes the rows in one statement. When the broker is down or frozen the thread waits and tries again; nobody else
does. What a crash leaves behind, and what is too much to remember, is found in the outbox by the sweep.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery
from kombu.exceptions import KombuError
from sqlalchemy.exc import SQLAlchemyError

import tracing
from models import outbox
from models.acting import Whom, act_for
from models.database import at_once, on_commit, sessions
from models.outbox import Message
from worker import rabbitmq

if TYPE_CHECKING:
    from tracing.spans import Handed

log = structlog.get_logger(__name__)

REQUEST_ID = "request_id"
"""The header of a message that says which request it goes back to."""

BATCH = 200
MOST_REMEMBERED = 20_000
"""Messages kept in memory while the broker is away, some 20 MB; the sweep publishes what is above that."""

LINGER_SECONDS = 0.005
"""How long the first message of a batch waits for company: under load one delete then serves many messages."""

LONGEST_PAUSE_SECONDS = 2.0


class Relay:
    """The publishing thread of one process; it starts with the first message."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._messages: queue.Queue[tuple[Message, Handed | None]] = queue.Queue(MOST_REMEMBERED)
        self._starting = threading.Lock()
        self._pid = 0

    def hand_over(self, messages: Sequence[Message]) -> None:
        """Take messages whose rows are committed. Never blocks, never raises."""
        if self._pid != os.getpid():
            self._start()
        for message in messages:
            try:
                self._messages.put_nowait((message, _handed(message)))
            except queue.Full:
                return

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                threading.Thread(target=self._run, name="relay", daemon=True).start()
                self._pid = os.getpid()

    def _run(self) -> None:
        # The thread begins with some user's request, and its messages are everyone's.
        act_for(Whom.everyone)
        while True:
            batch = [self._messages.get()]
            time.sleep(LINGER_SECONDS)
            while len(batch) < BATCH:
                try:
                    batch.append(self._messages.get_nowait())
                except queue.Empty:
                    break
            try:
                self._deliver(batch)
            except Exception:
                # What it was must not stop the relay; the rows are still there for the sweep.
                log.exception("relay_stumbled", messages=len(batch))

    def _deliver(self, batch: list[tuple[Message, Handed | None]]) -> None:
        messages, handed = [message for message, _ in batch], [each for _, each in batch]
        pause = 0.1
        while not publish(self._app, messages, handed):
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        forget(messages)


def start(app: Celery) -> Relay:
    """Publish what the sessions of this process stage, from now on."""
    relay = Relay(app)

    def hand_over(info: dict[Any, Any]) -> None:
        messages = info.pop(outbox.STAGED, None)
        if messages:
            relay.hand_over(messages)

    on_commit(hand_over)

    return relay


def publish(app: Celery, messages: Sequence[Message], handed: Sequence[Handed | None] = ()) -> bool:
    """Send messages to the broker in one go and say whether it accepted them all. `handed` are their spans, if any.

    If not, some may have arrived all the same; sending them again does no harm.
    """
    try:
        with app.producer_or_acquire() as producer, rabbitmq.in_no_doubt(producer), producer.batch():
            for message, span in zip(messages, handed or repeat(None)):  # noqa: B905  # one of them has no end
                app.send_task(
                    message.task, args=message.args, task_id=message.task_id, queue=message.queue,
                    producer=producer, retry=False, ignore_result=True,
                    # Celery's own way to write them down costs as much as the sending.
                    argsrepr=repr(message.args), kwargsrepr="{}",
                    headers=_headers(message, span),
                )  # fmt: skip
    except (KombuError, OSError, *rabbitmq.ERRORS) as error:
        log.warning("broker_unreachable", error=type(error).__name__, waiting=len(messages))
        return False
    for span in handed:
        if span is not None:
            span.end()
    return True


def _handed(message: Message) -> Handed | None:
    """The span of a message on its way to the broker, within what this thread is at; none when nothing is traced."""
    return tracing.hand_over(
        message.task, queue=message.queue, task_id=message.task_id, request_id=message.request_id
    )  # fmt: skip


def _headers(message: Message, span: Handed | None) -> dict[str, str] | None:
    headers = {REQUEST_ID: message.request_id} if message.request_id else {}
    return {**headers, **(span.headers if span else {})} or None


def forget(sent: Sequence[Message]) -> None:
    """Delete published rows. If that fails they are published once more by a sweep, which does no harm."""
    try:
        with at_once() as session:
            outbox.published(session, [message.id for message in sent])
    except SQLAlchemyError as error:
        log.warning("outbox_not_cleared", error=type(error).__name__, rows=len(sent))


def sweep(app: Celery) -> int:
    """Publish every row that is due, and return how many the broker accepted."""
    total = 0
    while True:
        with sessions() as session:
            due = outbox.take_due(session, limit=BATCH)
        if not due or not publish(app, due, [_handed(message) for message in due]):
            return total
        forget(due)
        total += len(due)
