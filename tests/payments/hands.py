"""Hands that do what was staged, one message after the other, in this process: a worker without a broker.

What the mock gateway posts goes to the front door of this process, signed as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select

import tasks.mock_payments
import tasks.payments  # noqa: F401
from config import Settings
from models.database import sessions
from models.outbox import Outbox
from worker.app import app as celery_app
from worker.payments.mock import posting


class Hands:
    """Does what is staged under names that begin with `payments.`; the rest stays for whoever it is for."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self.posted: list[tuple[bytes, dict[str, str]]] = []
        self.deaf = False

    def work(self) -> None:
        """Everything that is staged, and what that stages."""
        while messages := self._take():
            for task, args in messages:
                celery_app.tasks[task].run(*args)

    def post(self, event: Mapping[str, Any], settings: Settings) -> bool:
        """Deliver an event of the mock gateway, unless it is lost on the way."""
        if self.deaf:
            return True
        body, headers = posting.signed(event, settings.webhook_secret)
        self.posted.append((body, headers))
        return self._client.post("/v1/webhooks/stripe", data=body, headers=headers).status_code == 200

    def _take(self) -> list[tuple[str, list[str]]]:
        with sessions() as session:
            mine = Outbox.task.startswith("payments.")
            rows = session.execute(select(Outbox.id, Outbox.task, Outbox.args).where(mine).order_by(Outbox.id)).all()
            session.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in rows])))
        return [(row.task, row.args) for row in rows]


@pytest.fixture
def hands(client: FlaskClient) -> Iterator[Hands]:
    made = Hands(client)
    with mock.patch.object(posting, "post", made.post), mock.patch("web.waiting.MOST_SECONDS", 0.0):
        yield made
