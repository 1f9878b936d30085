"""Spans, and how they are sent. Loaded only where they are wanted: all that knows OpenTelemetry is here.

They are our own few and not those of libraries: these would lose the trace in the outbox, and tell the query of each
URL, which may hold the token of a link. What a span is told passes through the redaction of logs; messages of errors,
which may quote anything, are not told at all.

A thread of its own sends them in batches. When the collector is away or slow what does not fit in memory is lost, and
nobody waits.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

import counters
from config import settings
from logs import redactor
from redaction import Redactor
from tracing import TRACEPARENT, Parent, Told, trace_id

log = structlog.get_logger(__name__)

QUEUE = 4_096
"""Spans kept while they wait to be sent, some 8 MB; those above that are lost."""

BATCH, DELAY_SECONDS = 512, 2.0
"""How many are sent at once, and how long the first of them waits for company."""

SEND_SECONDS = 3.0
"""How long the collector may take. Only the sending thread waits for it, and a process that ends."""

_making = threading.Lock()
_running: Running | None = None

_next: ContextVar[int | None] = ContextVar("trace", default=None)
"""The id of the trace that is to begin with the next span."""


class Share(Sampler):
    """Takes a share of all traces, by their ids, so that all processes take the same; callers have no say in it."""

    def __init__(self, share: float) -> None:
        self._bound = round(share * 2**64)

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *how: Any, attributes: Any = None, **more: Any
    ) -> SamplingResult:
        # Hashed, as ids that others make need not be as random as they look.
        taken = int.from_bytes(sha256(trace_id.to_bytes(16, "big")).digest()[:8], "big") < self._bound
        return SamplingResult(Decision.RECORD_AND_SAMPLE if taken else Decision.DROP, attributes)

    def get_description(self) -> str:
        return f"Share({self._bound / 2**64:g})"


class Ids(RandomIdGenerator):
    """Random ones, but for a trace whose id is settled."""

    def generate_trace_id(self) -> int:
        return _next.get() or super().generate_trace_id()


class Sending(SpanExporter):
    """Sends, and says once when that does not work and once when it does again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._failing = self._hurried = False

    def hurry(self) -> None:
        """After this, nothing is tried any more once something has failed."""
        self._hurried = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._hurried and self._failing:
            return SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        except Exception:  # whatever it is, the next batch is tried like any other
            result = SpanExportResult.FAILURE
        failed = result is SpanExportResult.FAILURE
        if failed and not self._failing:
            log.warning("traces_not_sent", spans=len(spans))
        elif self._failing and not failed:
            log.info("traces_sent_again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


@dataclass(frozen=True)
class Running:
    """What makes spans in this process, and in those it forks, and what sends them."""

    provider: TracerProvider
    tracer: Tracer
    sending: Sending

    @classmethod
    def start(cls) -> Running:
        now = settings()
        # What it says of its troubles comes with every batch; we say it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        about = {
            "service.name": f"{now.otel_service_name}-{counters.service()}",
            "deployment.environment.name": str(now.coinop_env),
        }
        sending = Sending(
            OTLPSpanExporter(
                f"{now.otel_exporter_otlp_endpoint}/v1/traces", headers=now.otlp_headers, timeout=SEND_SECONDS
            )
        )
        provider = TracerProvider(
            Share(now.otel_traces_sampler_arg), Resource.create(about), shutdown_on_exit=False, id_generator=Ids()
        )
        provider.add_span_processor(
            BatchSpanProcessor(
                sending, max_queue_size=QUEUE, schedule_delay_millis=DELAY_SECONDS * 1_000, max_export_batch_size=BATCH
            )
        )
        return cls(provider, provider.get_tracer("coinop"), sending)


class Work:
    """What this thread is at: the span of a request or a task, and its name in the thread's log lines."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span, Context()))
        its = span.get_span_context()
        structlog.contextvars.bind_contextvars(trace_id=trace.format_trace_id(its.trace_id))

    def end(self, *, error: str | None = None, **about: Told) -> None:
        """End the span, with a code if it is one of an error, and be at nothing."""
        _describe(self._span, about)
        if error is not None:
            _fail(self._span, error)
        self._span.end()
        context.detach(self._token)
        structlog.contextvars.unbind_contextvars("trace_id")


class Handed:
    """The span of a message that waits to be published."""

    def __init__(self, span: Span) -> None:
        self._span = span
        its = span.get_span_context()
        parent = f"00-{trace.format_trace_id(its.trace_id)}-{trace.format_span_id(its.span_id)}-{its.trace_flags:02x}"
        self.headers = {TRACEPARENT: parent}
        """What the message brings along."""

    def end(self) -> None:
        """The broker has it."""
        self._span.end()


def serve(name: str, request_id: str, before: Parent | None, about: Mapping[str, Told]) -> Work:
    its, about = trace_id(request_id), {**about, "request_id": request_id}
    if before is not None and before.trace_id == its:
        return Work(_begin(name, SpanKind.SERVER, about, within=_known(before)))
    # Who named the request and has a trace of their own finds ours by the link.
    return Work(_begin(name, SpanKind.SERVER, about, id_=its, link=before))


def work(task: str, task_id: str, before: Parent) -> Work:
    about = {"messaging.system": "celery", "messaging.message.id": task_id}
    return Work(_begin(task, SpanKind.CONSUMER, about, within=_known(before)))


def hand_over(task: str, queue: str, task_id: str, id_: str) -> Handed:
    about = {"messaging.system": "celery", "messaging.message.id": task_id, "messaging.destination.name": queue}
    # Who commits may stage what goes back to another request than their own, or to none.
    here = trace.get_current_span()
    ours = trace.format_trace_id(here.get_span_context().trace_id) == id_
    within = trace.set_span_in_context(here, Context()) if ours else None
    return Handed(_begin(f"publish {task}", SpanKind.PRODUCER, about, within=within, id_=id_))


@contextmanager
def step(name: str, about: Mapping[str, Told]) -> Iterator[None]:
    if not trace.get_current_span().get_span_context().is_valid:
        yield
        return
    span = _begin(name, SpanKind.CLIENT, about, within=context.get_current())
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        _fail(span, str(getattr(error, "code", None) or type(error).__name__))
        raise
    finally:
        context.detach(token)
        span.end()


def tell(about: Mapping[str, Told]) -> None:
    _describe(trace.get_current_span(), about)


def close() -> None:
    global _running
    with _making:
        closing, _running = _running, None
    if closing is not None:
        closing.sending.hurry()
        closing.provider.shutdown()


def _known(parent: Parent) -> Context:
    its = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(NonRecordingSpan(its), Context())


def _begin(
    name: str, kind: SpanKind, about: Mapping[str, Told], *, within: Context | None = None, id_: str | None = None,
    link: Parent | None = None,
) -> Span:  # fmt: skip
    """Begin a span in a context, or as the first one here of the trace `id_`."""
    links = [Link(trace.get_current_span(_known(link)).get_span_context())] if link else None
    token = _next.set(int(id_, 16) if id_ else None)
    try:
        span = _tracer().start_span(name, within or Context(), kind, links=links)
    finally:
        _next.reset(token)
    _describe(span, about)
    return span


def _describe(span: Span, about: Mapping[str, Told]) -> None:
    if span.is_recording():
        known = {name: value for name, value in about.items() if value is not None}
        for name, value in _hiding()(None, "", known).items():
            span.set_attribute(name if "." in name else f"coinop.{name}", value)


def _fail(span: Span, code: str) -> None:
    _describe(span, {"error.type": code})
    span.set_status(Status(StatusCode.ERROR))


def _tracer() -> Tracer:
    global _running
    with _making:
        if _running is None:
            try:
                _running = Running.start()
            except RuntimeError:  # a process that ends starts no threads any more
                return NoOpTracer()
        return _running.tracer


@cache
def _hiding() -> Redactor:
    return redactor()


atexit.register(close)
