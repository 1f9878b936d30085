"""Work that takes too long, or comes to nothing, at a provider that answers: the job's bad luck, not the provider's."""

from __future__ import annotations

from uuid import UUID

from models.jobs import Status
from tests.ai.shaky import Shaky, a_chat, run
from worker.ai.provider import Unavailable, Unfinished

DOWN = Unavailable("provider_error", "The provider has a problem.")


def test_a_provider_that_answers_is_never_left_alone(user: UUID) -> None:
    for fault in (DOWN, DOWN, Unfinished("provider_timeout", "There was no time."), DOWN, DOWN):
        Shaky.fault = fault
        assert run(a_chat(user)) is Status.failed
    Shaky.fault = Unfinished("provider_error", "The work was stopped.")
    assert [run(a_chat(user)) for _ in range(4)] == [Status.failed] * 4
    Shaky.fault = None
    assert run(a_chat(user)) is Status.completed
    assert len(Shaky.asked) == 10
