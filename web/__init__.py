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
    account_pages,
    acting,
    addresses,
    after_checkout,
    api_keys,
    auth,
    catalog,
    checkouts,
    commands,
    entitlements,
    exports,
    headers,
    jobs,
    logins,
    me,
    mock_checkout,
    notices,
    ops,
    outputs,
    payments,
    problems,
    redemptions,
    referrals,
    requests,
    saved_replies,
    scraping,
    spends,
    subscription,
    tokens,
    top_up,
    traces,
    transactions,
    uploads,
    wallets,
    webhooks,
)
from web.admin import adjustments as admin_adjustments
from web.admin import audit_log as admin_audit_log
from web.admin import catalog as admin_catalog
from web.admin import emails as admin_emails
from web.admin import events as admin_events
from web.admin import holdings as admin_holdings
from web.admin import jobs as admin_jobs
from web.admin import metrics as admin_metrics
from web.admin import payments as admin_payments
from web.admin import promotions as admin_promotions
from web.admin import users as admin_users
from web.requests import FrontDoor
from worker import announcer, relay
from worker.app import app as celery_app
from worker.backends import offers

log = structlog.get_logger(__name__)


def create_app() -> FrontDoor:
    """The WSGI application, by the settings of this process."""
    set_up_logging()
    offers()
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
    acting.register(app)
    scraping.register(app)
    problems.register(app)
    requests.register(app)
    traces.register(app)
    headers.register(app)
    tokens.register(app)
    for noun in (
        auth,
        addresses,
        me,
        exports,
        logins,
        api_keys,
        catalog,
        wallets,
        transactions,
        jobs,
        outputs,
        uploads,
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
        admin_users,
        admin_adjustments,
        admin_holdings,
        admin_audit_log,
        admin_jobs,
        admin_events,
        admin_emails,
        admin_catalog,
        admin_promotions,
        admin_metrics,
        admin_payments,
        ops,
    ):
        app.register_api(noun.api)
    app.register_blueprint(outputs.by_link)
    app.register_blueprint(account_pages.pages)
    app.register_blueprint(after_checkout.pages)
    mock_checkout.register(app)
    # The UI finds the document beside itself; everybody else looks for it here.
    app.add_url_rule("/openapi.json", "openapi", lambda: app.api_doc)
    commands.register(app)
    relay.start(celery_app)
    announcer.start()
    return app
