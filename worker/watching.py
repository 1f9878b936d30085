"""Watching: what a worker shows of itself: what its tasks came to, that it lives, and for which request it works."""

from __future__ import annotations

import hmac
import sys
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from time import perf_counter
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from celery.signals import beat_init, celeryd_init, task_postrun, task_prerun, worker_process_shutdown, worker_ready
from prometheus_client import CollectorRegistry, make_wsgi_app
from sqlalchemy.exc import SQLAlchemyError

import counters
import tracing
from config import settings
from models import signs
from models.database import sessions
from models.outbox import LONGEST_REQUEST_ID
from worker.relay import REQUEST_ID

log = structlog.get_logger(__name__)

OUTCOMES = {"SUCCESS": "done", "FAILURE": "broke"}
"""Celery's words for how a task ended, in ours."""


def service_of(hostname: str) -> str:
    """What a worker is called: `generation` of `generation@box`."""
    return hostname.partition("@")[0]


def _count_in_files(sender: Any, **_: Any) -> None:
    counters.record_for(service_of(str(sender)))


def _is_beat(**_: Any) -> None:
    counters.known_as("beat")


def _close(**_: Any) -> None:
    """A process of a pool of processes ends without a word; others close by themselves."""
    tracing.close()
    if reporting := sys.modules.get("reporting"):
        reporting.close()


def _show(sender: Any, **_: Any) -> None:
    name = signs.WORKER + service_of(sender.hostname)
    threading.Thread(target=_leave_signs, args=(name,), name="signs", daemon=True).start()
    if port := settings().worker_metrics_port:
        serve(port)


def _leave_signs(name: str) -> None:
    while True:
        try:
            with sessions() as session:
                signs.leave(session, {name: None})
        except SQLAlchemyError as error:
            log.warning("sign_not_left", sign=name, error=type(error).__name__)
        time.sleep(signs.EVERY_SECONDS)


def _name_task(task: Any, task_id: str, **_: Any) -> None:
    """Every line of the task says what it is and for which request; a task that beat began is named by its own id."""
    headers = task.request.headers or {}
    given = headers.get(REQUEST_ID)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(
        request_id=given or task_id[:LONGEST_REQUEST_ID], task=task.name, task_id=task_id
    )
    task.request.span = tracing.work(task.name, task_id, headers)
    task.request.began = perf_counter()


def _count_task(task: Any, state: str | None = None, **_: Any) -> None:
    counters.TASKS.labels(task.name, OUTCOMES.get(state or "", "put_back")).inc()
    counters.TASK_SECONDS.labels(task.name).observe(perf_counter() - getattr(task.request, "began", perf_counter()))
    if span := getattr(task.request, "span", None):
        span.end(error="task_broke" if state == "FAILURE" else None)
    structlog.contextvars.clear_contextvars()


def connect() -> None:
    """Have Celery tell us when a worker of this process begins, and each of its tasks."""
    celeryd_init.connect(_count_in_files)
    beat_init.connect(_is_beat)
    worker_process_shutdown.connect(_close)
    worker_ready.connect(_show)
    task_prerun.connect(_name_task)
    task_postrun.connect(_count_task)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """A scrape every few seconds is not worth a line."""


def serve(port: int) -> WSGIServer:
    """Tell what this worker counts on a port of its own, on a thread; port 0 is any that is free.

    Without a METRICS_TOKEN whoever is on this machine is told, with one whoever sends it as a bearer.
    """
    secret = settings().metrics_token
    wanted = f"Bearer {secret.get_secret_value()}" if secret else None
    registry = CollectorRegistry()
    registry.register(counters.counted(everybody=False))
    tell = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        if wanted is not None and not hmac.compare_digest(given, wanted.encode()):
            start("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")])
            return [b"These are for whoever has the METRICS_TOKEN.\n"]
        told: Iterable[bytes] = tell(environ, start)
        return told

    host = "127.0.0.1" if wanted is None else "0.0.0.0"  # noqa: S104  # who may not read it has no token
    server = make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
