"""Tracing: one trace for a request and all that is done for it, sent to OpenTelemetry's collector (docs/visibility.md).

Off unless OTEL_EXPORTER_OTLP_ENDPOINT says where to; then nothing of OpenTelemetry is loaded, and each of these does
nothing. The spans are made in `tracing/spans.py`.

A trace is known by the request: its id is made from the request's, which goes through the outbox anyway, so whoever
publishes a message later, a sweep after a crash or after a back-off, finds the trace it belongs to. On the usual way
from the request to its task the span before is passed on as well, from thread to thread and in the message.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from config import settings

if TYPE_CHECKING:
    from tracing.spans import Handed, Work

TRACEPARENT = "traceparent"
"""The header, of a request and of a message, that names the span before (W3C Trace Context)."""

Told = str | int | float | bool | None
"""What is said of a span: ids, states, durations, codes."""

_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_PARENT = re.compile(rf"(?!ff)[0-9a-f]{{2}}-({_ID.pattern})-((?!0{{16}})[0-9a-f]{{16}})-[0-9a-f]{{2}}(?:-.*)?")


class Parent(NamedTuple):
    """A span of somebody else: the id of its trace, and its own."""

    trace_id: str
    span_id: str


def on() -> bool:
    return bool(settings().otel_exporter_otlp_endpoint)


def trace_id(request_id: str) -> str:
    """The trace of all that goes back to a request. An id of a trace stands for itself."""
    return request_id if _ID.fullmatch(request_id) else sha256(request_id.encode()).hexdigest()[:32]


def parent(traceparent: str | None) -> Parent | None:
    """What such a header names; None if it is none."""
    found = _PARENT.fullmatch(traceparent or "")
    return Parent(found[1], found[2]) if found else None


def new_request_id(traceparent: str | None) -> str:
    """An id for a request that was given none: that of the trace it belongs to, or of a new one."""
    before = parent(traceparent)
    return before.trace_id if before else secrets.token_hex(16)


def serve(name: str, *, request_id: str, traceparent: str | None, **about: Told) -> Work | None:
    """Begin the span of a request in this thread; to be ended by `Work.end`."""
    if not on():
        return None
    from tracing import spans

    return spans.serve(name, request_id, parent(traceparent), about)


def work(task: str, task_id: str, headers: Mapping[str, object]) -> Work | None:
    """Begin the span of a task in this thread, if its message brought a trace along; to be ended by `Work.end`.

    What beat asks for, many times a minute, brings none.
    """
    if not on() or (before := parent(str(headers.get(TRACEPARENT, "")))) is None:
        return None
    from tracing import spans

    return spans.work(task, task_id, before)


def hand_over(task: str, *, queue: str, task_id: str, request_id: str | None) -> Handed | None:
    """Begin the span of a message that is to be published; to be ended by `Handed.end`."""
    if not on():
        return None
    from tracing import spans

    return spans.hand_over(task, queue, task_id, trace_id(request_id or task_id))


def step(name: str, **about: Told) -> AbstractContextManager[None]:
    """A span for the block, within what this thread is at; an error that leaves the block is told by its code."""
    if not on():
        return nullcontext()
    from tracing import spans

    return spans.step(name, about)


def tell(**about: Told) -> None:
    """Say something of the span that this thread is at."""
    if on():
        from tracing import spans

        spans.tell(about)


def close() -> None:
    """Send what there is to send, for a few seconds at most."""
    if "tracing.spans" in sys.modules:
        from tracing import spans

        spans.close()
