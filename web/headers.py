"""Headers: what every answer tells browsers, and whose pages may read it (CORS)."""

from __future__ import annotations

from flask import Flask, Request, Response, current_app, request

from config import settings

ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""For every answer. Browsers need none of them for data, but some take data for a page if they can."""

OUR_PAGES = "same-origin"
"""Whose pages may show an answer: ours. What is fetched by a link says otherwise (`web/outputs.py`)."""

CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""What an answer may load when a browser shows it: nothing. A view that answers with a page sets its own."""

DOCS = ("openapi", "swagger")
"""The blueprints of `/docs`, whose pages are a library's: they have scripts and styles in line, and show pictures
that are part of their scripts. Everything else still comes from here alone."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

ONLY_HTTPS = f"max-age={365 * 24 * 3600}"
"""Said over https alone: browsers ignore it elsewhere, and a trial over http is no promise."""

EXPOSED = ", ".join(
    (
        "ETag", "Location", "Retry-After", "Idempotency-Replayed", "Preference-Applied", "Content-Disposition",
        "X-Request-Id",
    )
)  # fmt: skip
"""What a page may read of an answer, besides its body and type."""

PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, Range, Traceparent, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "3600"),
)


def register(app: Flask) -> None:
    app.before_request(_answer_options)
    app.after_request(_add)


def _answer_options() -> Response | None:
    """What may be sent is asked without a token, by browsers before they send it: no door and no view knows of that."""
    if request.method != "OPTIONS":
        return None
    if _is_preflight(request):
        return Response(status=204)
    return current_app.make_default_options_response() if request.routing_exception is None else None


def _is_preflight(request: Request) -> bool:
    asked = request.headers
    return request.method == "OPTIONS" and "Origin" in asked and "Access-Control-Request-Method" in asked


def _add(response: Response) -> Response:
    headers = response.headers
    headers.extend(ALWAYS)
    if "Cross-Origin-Resource-Policy" not in headers:
        headers.add("Cross-Origin-Resource-Policy", OUR_PAGES)
    if "Content-Security-Policy" not in headers:
        headers.add("Content-Security-Policy", DOCS_POLICY if request.blueprint in DOCS else CONTENT_POLICY)
    if request.scheme == "https":
        headers.add("Strict-Transport-Security", ONLY_HTTPS)
    if settings().cors_origins:
        _allow_origin(response)
    return response


def _allow_origin(response: Response) -> None:
    """Name the caller's origin if it is one of the list; never with credentials, as callers carry tokens, not cookies.

    That the answer depends on the origin is said in every case, or a cache would give one origin's answer to another.
    """
    allowed, origin = settings().cors_origins, request.headers.get("Origin")
    if "*" in allowed:
        origin = "*"
    else:
        response.vary.add("Origin")
        if origin not in allowed:
            return
    response.headers.add("Access-Control-Allow-Origin", origin)
    response.headers.add("Access-Control-Expose-Headers", EXPOSED)
    if _is_preflight(request):
        response.headers.extend(PREFLIGHT)
