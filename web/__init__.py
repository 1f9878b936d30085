"""The front door: validates, reserves credits and enqueues. One blueprint per noun.

Each view makes three moves: parse, one call inside a transaction, render. What a verb refuses becomes a problem
document in `problems.py`; no view handles refusals one by one.
"""

from __future__ import annotations

import structlog
from flask_cors import CORS
from flask_openapi import Info, OpenAPI

from config import settings
from logs import set_up_logging
from web import (
    after_checkout,
    auth,
    catalog,
    checkouts,
    commands,
    entitlements,
    jobs,
    me,
    mock_checkout,
    notices,
    ops,
    payments,
    problems,
    redemptions,
    referrals,
    requests,
    saved_replies,
    spends,
    subscription,
    tokens,
    top_up,
    transactions,
    wallets,
    webhooks,
)
from worker import relay
from worker.app import app as celery_app

log = structlog.get_logger(__name__)


def create_app() -> OpenAPI:
    """The WSGI application, by the settings of this process."""
    set_up_logging()
    app = OpenAPI(
        __name__,
        info=Info(title="Coinop", version="1", description="AI generation for credits."),
        security_schemes={"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        doc_prefix="/docs",
        doc_url="/openapi.json",
        validation_error_status=422,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.from_validation,
        static_folder=None,
    )
    app.config["SECRET_KEY"] = settings().secret_key.get_secret_value()
    app.config["MAX_CONTENT_LENGTH"] = settings().max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    problems.register(app)
    requests.register(app)
    tokens.register(app)
    if settings().cors_origins:
        CORS(
            app,
            origins=list(settings().cors_origins),
            expose_headers=["ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id"],
        )
    for noun in (
        auth,
        me,
        catalog,
        wallets,
        transactions,
        jobs,
        spends,
        redemptions,
        referrals,
        notices,
        saved_replies,
        entitlements,
        checkouts,
        payments,
        subscription,
        top_up,
        webhooks,
        ops,
    ):
        app.register_api(noun.api)
    app.register_blueprint(after_checkout.pages)
    mock_checkout.register(app)
    # The UI finds the document beside itself; everybody else looks for it here.
    app.add_url_rule("/openapi.json", "openapi", lambda: app.api_doc)
    commands.register(app)
    relay.start(celery_app)
    return app
