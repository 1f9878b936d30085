"""A worker of its own process that does what is staged until it is killed: `python -m tests.payments.storm_worker`.

A message is forgotten only after its task is over, as a broker's is, so what a killed one was at is done again.
"""

from __future__ import annotations

import random
import time

from sqlalchemy import delete, select

import tasks.mock_payments
import tasks.payments  # noqa: F401
from models.database import sessions
from models.outbox import Outbox
from worker.app import app as celery_app


def main() -> None:
    while True:
        with sessions() as session:
            mine = Outbox.task.startswith("payments.")
            rows = session.execute(select(Outbox.id, Outbox.task, Outbox.args).where(mine).limit(50)).all()
        random.shuffle(rows)  # type: ignore[arg-type]
        for row in rows:
            if row.task != "payments.post_mock_event":  # the storm tells them in its own way
                celery_app.tasks[row.task].run(*row.args)
            with sessions() as session:
                session.execute(delete(Outbox).where(Outbox.id == row.id))
        if not rows:
            time.sleep(0.02)


if __name__ == "__main__":
    main()
