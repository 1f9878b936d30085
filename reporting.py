"""Reporting: errors, as they are logged, go to Sentry too (docs/visibility.md). Loaded only where SENTRY_DSN is set.

What is logged as an error is what somebody should look at: a view, a task or an attempt that broke, books that do not
balance. What a verb declines, and what is tried again as a matter of course, is not logged as one. Of libraries only
exceptions are reported.

Sent are where it broke, the event, and the ids, states, durations and codes of its line, redacted as in the log. Not
sent are the messages of exceptions, the values of variables, bodies and headers: any of them may quote a prompt or an
address. The log line of the same request has the message.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import sentry_sdk
import structlog
from sentry_sdk.utils import event_from_exception

import counters
from config import settings
from config.basis import told
from redaction import Redactor

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0
"""How long a process that ends waits until what it has reported is sent. Nobody else waits at all."""

LEVELS = {"error": "error", "critical": "fatal"}
"""Ours, and Sentry's words for them."""

TAGS = ("request_id", "job_id", "task", "task_id", "trace_id")
"""What of a line can be searched for."""

OURS = ("event", "level", "logger", "timestamp", "exc_info", "stack_info", "exception")

Caught = tuple[type[BaseException], BaseException, TracebackType | None]


class Reporter:
    """A structlog processor: reports a line and leaves it as it is."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if line.get("level") in LEVELS:
            try:
                self._report(line)
            except Exception as error:
                # A report is not worth what is at work here.
                log.warning("error_not_reported", error=type(error).__name__)
        return line

    def _report(self, line: MutableMapping[str, Any]) -> None:
        caught = _caught(line.get("exc_info"))
        foreign = not line.get("_from_structlog", True)
        if foreign and caught is None:
            return
        options = sentry_sdk.get_client().options
        event: Any
        event, hint = event_from_exception(caught, client_options=options) if caught else ({}, {})
        for value in event.get("exception", {}).get("values", ()):
            value["value"] = ""
        name = line["logger"] if foreign else line["event"]
        if caught is None:
            event |= {"message": name, "fingerprint": [name, str(line.get("error", ""))]}
        about = {key: value for key, value in line.items() if key not in OURS and not key.startswith("_")}
        if about.get("task") == "generation.run":
            about.setdefault("job_id", about.get("task_id"))
        about = dict(self._redactor(None, "", about))
        tags = {key: str(about.pop(key))[:200] for key in TAGS if about.get(key) is not None}
        event |= {
            "level": LEVELS[line["level"]], "logger": line.get("logger"),
            "tags": {"event": name, "service": counters.service(), **tags}, "contexts": {"line": about},
        }  # fmt: skip
        sentry_sdk.capture_event(event, hint)


def begin(redactor: Redactor) -> Reporter:
    """Report from now on what passes through the processor that is returned. Nothing is sent at once."""
    now = settings()
    sentry_sdk.init(
        dsn=told(now.sentry_dsn),
        release=now.release,
        environment=now.sentry_environment or str(now.coinop_env),
        # Whatever would look at requests, tasks, logs and threads by itself, and send what it sees. Personal data is
        # not sent either, as long as nobody here says `send_default_pii` or `data_collection`.
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        max_request_body_size="never",
        auto_session_tracking=False,
        send_client_reports=False,
        enable_backpressure_handling=False,
        enable_metrics=False,
        propagate_traces=False,
        spotlight=False,
        debug=False,
    )
    atexit.unregister(close)
    atexit.register(close)
    return Reporter(redactor)


def close() -> None:
    """Send what there is to send, for a few seconds at most."""
    sentry_sdk.flush(timeout=FLUSH_SECONDS)


def _caught(given: Any) -> Caught | None:
    """What was caught, however the line says so."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if given is True:
        given = sys.exc_info()
    return given if isinstance(given, tuple) and given[0] is not None else None
