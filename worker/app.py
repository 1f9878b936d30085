"""The Celery app. Settings are in `celeryconfig.py`; tasks register themselves when `tasks/` is imported."""

from __future__ import annotations

import warnings
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_init

from logs import set_up_logging
from worker import announcer, rabbitmq, relay, transport, watching
from worker.backends import offers

transport.repair()
rabbitmq.repair()
# It warns root of pickled messages, which could be code; ours are JSON only (celeryconfig.py).
warnings.filterwarnings("ignore", category=SecurityWarning)
# At every lost connection it explains, in seven lines, a choice that celeryconfig.py has made.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

app = Celery("coinop")
app.config_from_object("celeryconfig")
watching.connect()


@setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    set_up_logging()


@worker_init.connect
def _know_who_generates(**_: Any) -> None:
    offers()


@worker_init.connect
def _publish_what_tasks_stage(**_: Any) -> None:
    relay.start(app)


@worker_init.connect
def _announce_what_tasks_end(**_: Any) -> None:
    announcer.start()
