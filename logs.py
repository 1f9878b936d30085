"""Logs: one line per event, as `event key=value …` in development and as JSON in production.

What goes in: ids, states, durations, codes. What stays out: prompts, tokens, keys, addresses, results; where a library
or a mistake would let them in, `redaction.py` hides them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
from types import TracebackType
from typing import TextIO

import structlog
from pydantic import SecretStr

from config import settings
from redaction import Redactor, passwords

CHATTY = ("alembic", "celery.beat", "celery.worker.strategy", "celery.app.trace", "httpx2")
"""Loggers that say at INFO, many times a minute, what our own lines and Flower tell better."""

INDEPENDENT = ("gunicorn.error", "gunicorn.access")
"""Loggers that a library gave an output of its own, which would pass by what is set up here."""


class Output(logging.StreamHandler[TextIO]):
    """Writes lines. Of one that cannot be written it does not, as the library would, print what was to be in it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        broke = sys.exc_info()[0]
        with contextlib.suppress(Exception):
            self.stream.write(
                json.dumps({"event": "line_lost", "error": broke and broke.__name__, "logger": record.name})
            )
            self.stream.write(self.terminator)


def set_up_logging() -> None:
    """Send the process's logs, ours and the libraries', to standard error in one form, without what is secret."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *_reports(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor
    if settings().in_development:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    else:
        renderer = structlog.processors.JSONRenderer()
    handler = Output(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redactor(), renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings().log_level)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    for independent in INDEPENDENT:
        logging.getLogger(independent).handlers.clear()
        logging.getLogger(independent).propagate = True
    _log_what_nobody_catches()


def _reports() -> list[structlog.typing.Processor]:
    """What reports errors to Sentry as they are logged; nothing, and nothing loaded, unless they are to be."""
    if settings().sentry_dsn is None:
        return []
    import reporting

    return [reporting.begin(redactor())]


def redactor() -> Redactor:
    """Hides what a log must not show, and the secrets of these settings wherever they occur."""
    now = settings()
    given = [getattr(now, name) for name in type(now).model_fields]
    secrets = [value.get_secret_value() for value in given if isinstance(value, SecretStr)]
    secrets += now.receivers_keys
    for url in (now.database_url, now.broker_url, now.smtp_url):
        secrets += passwords(url)
    return Redactor(secrets)


def _log_what_nobody_catches() -> None:
    """What ends a process or a thread is a line like any other, rather than printed as Python does, in full."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _process_broke
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_broke


def _process_broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger(__name__).critical("process_broke", exc_info=(kind, error, trace))


def _thread_broke(broke: threading.ExceptHookArgs) -> None:
    if broke.exc_value is not None and not issubclass(broke.exc_type, SystemExit):
        name = broke.thread.name if broke.thread else None
        caught = (broke.exc_type, broke.exc_value, broke.exc_traceback)
        structlog.get_logger(__name__).error("thread_broke", thread=name, exc_info=caught)
