"""The front door: validates, reserves credits and enqueues. One blueprint per noun.

Each view makes three moves: parse, one call inside a transaction, render. What a verb refuses becomes a problem
document in `problems.py`; no view handles refusals one by one.
"""

from __future__ import annotations

import structlog
from flask_openapi import Info

from config import settings
from logs import set_up_logging
from web import (
    auth,
    catalog,
    commands,
    entitlements,
    headers,
    jobs,
    me,
    notices,
    ops,
    problems,
    redemptions,
    referrals,
    requests,
    saved_replies,
    spends,
    tokens,
    transactions,
    wallets,
)
from web.requests import FrontDoor
from worker import relay
from worker.app import app as celery_app

log = structlog.get_logger(__name__)


def create_app() -> FrontDoor:
    """The WSGI application, by the settings of this process."""
    set_up_logging()
    app = FrontDoor(
        __name__,
        info=Info(title="Coinop", version="1", description="AI generation for credits."),
        security_schemes=tokens.SECURITY_SCHEMES,
        doc_prefix="/docs",
        doc_url="/openapi.json",
        validation_error_status=422,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.from_validation,
        static_folder=None,
    )
    app.config["SECRET_KEY"] = settings().secret_key.get_secret_value()
    problems.register(app)
    requests.register(app)
    headers.register(app)
    tokens.register(app)
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
        ops,
    ):
        app.register_api(noun.api)
    # The UI finds the document beside itself; everybody else looks for it here.
    app.add_url_rule("/openapi.json", "openapi", lambda: app.api_doc)
    commands.register(app)
    relay.start(celery_app)
    return app
