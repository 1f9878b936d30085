"""The Celery app. Settings are in `celeryconfig.py`; tasks register themselves when `tasks/` is imported."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init

from logs import set_up_logging
from worker import relay

app = Celery("coinop")
app.config_from_object("celeryconfig")


@setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    set_up_logging()


@worker_init.connect
def _publish_what_tasks_stage(**_: Any) -> None:
    relay.start(app)
