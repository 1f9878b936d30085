"""What counts as confirmed: told by a channel that answers as it is written here. No broker runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from amqp.exceptions import MessageNacked

from worker.rabbitmq import PATIENCE_SECONDS, Batch


class Channel:
    """It answers each `drain_events` with the next of `answers`: a name, a number, and whether all before are meant."""

    def __init__(self, *answers: tuple[str, int, bool]) -> None:
        self.answers = list(answers)
        self.events: dict[str, set[Callable[[int, bool], None]]] = defaultdict(set)
        self.connection = self
        self.selected = 0
        self.sent: list[dict[str, Any]] = []

    def confirm_select(self) -> None:
        self.selected += 1

    def basic_publish(self, message: Any, **how: Any) -> None:
        self.sent.append(how)

    def drain_events(self, timeout: float) -> None:
        assert timeout == PATIENCE_SECONDS
        if not self.answers:
            raise TimeoutError
        name, number, multiple = self.answers.pop(0)
        for callback in self.events[name]:
            callback(number, multiple)


def send(channel: Channel, count: int) -> None:
    batch = Batch(channel)
    for _ in range(count):
        batch.publish("x", exchange="", routing_key="email", mandatory=False, timeout=None, confirm_timeout=None)
    batch.flush()


def test_a_batch_waits_for_each_of_its_messages_in_whatever_order() -> None:
    channel = Channel(
        ("basic_ack", 3, False), ("basic_ack", 1, False), ("basic_ack", 2, False), ("basic_ack", 9, False)
    )
    send(channel, 3)
    assert len(channel.answers) == 1, "it has read no further than it must"
    assert {(each["mandatory"], each["timeout"]) for each in channel.sent} == {(True, PATIENCE_SECONDS)}


def test_numbers_go_on_from_batch_to_batch_and_one_answer_may_be_for_many() -> None:
    channel = Channel(("basic_ack", 3, True), ("basic_ack", 4, False), ("basic_ack", 5, True))
    send(channel, 3)
    send(channel, 2)
    assert (channel.answers, channel.selected) == ([], 1)


@pytest.mark.parametrize("answers", [
    [], [("basic_ack", 1, True)], [("basic_ack", 2, False)],
])  # fmt: skip
def test_a_batch_that_is_confirmed_in_part_is_not_confirmed(answers: list[tuple[str, int, bool]]) -> None:
    with pytest.raises(TimeoutError):
        send(Channel(*answers), 2)


def test_a_message_that_is_refused_fails_its_batch() -> None:
    with pytest.raises(MessageNacked):
        send(Channel(("basic_ack", 1, False), ("basic_nack", 2, False)), 2)
