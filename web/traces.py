"""Traces: each request is a span, of the trace that its id stands for (`tracing/`)."""

from __future__ import annotations

from flask import Flask, Response, g, request

import tracing
from web.scraping import UNKNOWN

UNTRACED = ("/healthz", "/readyz", "/metrics")
"""What is asked every few seconds, by machines, and tells of nobody's work."""


def register(app: Flask) -> None:
    """Register this after what names requests. Without a collector there is nothing to do for any of them."""
    if tracing.on():
        app.before_request(_begin)
        app.after_request(_note)
        app.teardown_request(_end)


def _begin() -> None:
    route = request.url_rule.rule if request.url_rule else UNKNOWN
    if route in UNTRACED:
        return
    method = request.method if request.url_rule else UNKNOWN
    about: dict[str, tracing.Told] = {"http.request.method": method, "http.route": route}
    g.span = tracing.serve(
        f"{method} {route}", request_id=g.request_id, traceparent=request.headers.get(tracing.TRACEPARENT), **about
    )


def _note(response: Response) -> Response:
    g.status = response.status_code
    return response


def _end(_: BaseException | None) -> None:
    if span := g.pop("span", None):
        status = g.pop("status", 500)
        span.end(error=str(status) if status >= 500 else None, **{"http.response.status_code": status})
