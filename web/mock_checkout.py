"""The mock gateway's pages, where people pay with test cards, change their card, and see invoices and receipts.

They are Stripe's side of things: whoever has the address, which nobody guesses, may use them, and no view or verb of
the product does. What is pressed is staged for a worker, who plays the bank; the page waits a little for it. Nothing is
posted but the address itself, so there is no body to parse, and no script to run.

They are there only while the mock takes the payments: `register` is the one place besides `worker/payments/__init__.py`
that asks who does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from config import PaymentsMode, settings
from models.database import readings, sessions
from models.errors import NotFound
from models.payments import mock_objects
from web.acting import for_everyone
from web.waiting import wait_for

pages = Blueprint("mock_checkout", __name__, url_prefix="/mock-checkout")
pages.before_request(for_everyone)

PRESSABLE = {
    "checkout.session": ("pay", "authenticate", "fail", "abandon", "debit", "arrive", "bounce"),
    "payment_intent": ("pay", "authenticate", "fail", "abandon"),
    "billing_portal.session": ("save",),
    "subscription": ("renew",),
    "invoice": ("settle", "retry"),
    "charge": ("refund", "dispute"),
    "dispute": ("win", "lose"),
}
"""What can be done to an object of each kind."""

CARDS = (
    ("4242424242424242", "works"),
    ("4000000000000002", "is declined"),
    ("4000000000009995", "has insufficient funds"),
    ("4000000000000341", "can be saved, but every charge fails"),
    ("4000002500003155", "needs authentication (3-D Secure) the first time"),
    ("4000002760003184", "needs authentication (3-D Secure) always"),
    ("4000000000000259", "works, and the payment is disputed at once"),
)
"""Test cards to choose from; `worker/payments/mock/cards.py` knows what becomes of a payment with each."""

DECLINED_CARD = "4000000000000002"
CAREFUL_CARD = "4000002760003184"

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
"""No word on forms: browsers would hold it against the redirection to the shop that follows one."""

NO_CENTS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"

Object = dict[str, Any]


def register(app: Flask) -> None:
    """Serve the pages, if the mock takes the payments."""
    if settings().payments_mode is PaymentsMode.mock:
        app.register_blueprint(pages)


@pages.get("/<object_id>")
def show(object_id: str) -> Response:
    """The page of an object: a checkout, a payment, the portal, an invoice or a receipt."""
    with readings() as session:
        found = mock_objects.get(session, object_id)
        shown = _VIEWS.get(found["object"])
        if shown is None:
            raise NotFound("There is no such page.")
        told = shown(session, found)
    page = render_template(
        "mock_checkout.html", found=found, card=_card(), cards=CARDS, declined=DECLINED_CARD, careful=CAREFUL_CARD,
        money=_money, moment=_moment, **told,
    )  # fmt: skip
    answer = make_response(page)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


@pages.post("/<object_id>/<outcome>")
def press(object_id: str, outcome: str) -> ResponseReturnValue:
    """Do what a button says, wait a little until it is done, and go on to where that leads."""
    with sessions() as session:
        found = mock_objects.get(session, object_id)
        if outcome not in PRESSABLE.get(found["object"], ()):
            raise NotFound("There is no such button.")
        before = mock_objects.version(session, object_id)
        mock_objects.press(session, object_id=object_id, outcome=outcome, card=_card())
    wait_for(lambda session: mock_objects.version(session, object_id), lambda version: version != before)
    with readings() as session:
        found = mock_objects.get(session, object_id)
    return redirect(_onwards(found), code=303)


def _card() -> str:
    """The test card that was chosen; the first works."""
    return request.args.get("card", CARDS[0][0])


def _onwards(found: Object) -> str:
    """Where the browser goes next: to the shop when all is said, else to a page of ours."""
    if found["object"] == "checkout.session":
        if found["status"] == "complete" and found["payment_status"] != "unpaid":
            return str(found["success_url"]).replace("{CHECKOUT_SESSION_ID}", found["id"])
        if found["status"] == "expired":
            return str(found["cancel_url"])
    back = request.args.get("back", found["id"])
    return f"{pages.url_prefix}/{quote(back, safe='')}"


def _checkout(session: Session, found: Object) -> Object:
    intent = mock_objects.find(session, found["_intent"]) if found["_intent"] else None
    return {
        "page": "pay", "title": found["_title"], "amount": found["amount_total"], "intent": intent,
        "open": found["status"] == "open", "trial_days": found["_trial_days"], "by_debit": found["mode"] == "payment",
        "delayed": found["status"] == "complete" and intent is not None and intent["status"] == "processing",
        "leads_to": found["success_url"] if found["status"] == "complete" else found["cancel_url"],
    }  # fmt: skip


def _intent(session: Session, found: Object) -> Object:
    return {
        "page": "pay", "title": found["description"], "amount": found["amount"], "intent": found,
        "open": found["status"] not in ("processing", "succeeded", "canceled"), "trial_days": None, "by_debit": False,
        "delayed": False, "leads_to": None,
    }  # fmt: skip


def _portal(session: Session, found: Object) -> Object:
    whose = found["customer"]
    saved = (mock_objects.get(session, whose).get("invoice_settings") or {}).get("default_payment_method")
    kept = mock_objects.where(session, "payment_method", customer=whose)
    return {
        "page": "portal",
        "subscriptions": mock_objects.where(session, "subscription", customer=whose)[::-1],
        "invoices": mock_objects.where(session, "invoice", customer=whose)[::-1],
        "saved": mock_objects.find(session, saved) if saved else kept[-1] if kept else None,
        "leads_to": found["return_url"],
    }


def _invoice(session: Session, found: Object) -> Object:
    return {"page": "invoice"}


def _charge(session: Session, found: Object) -> Object:
    return {"page": "receipt", "disputes": mock_objects.where(session, "dispute", charge=found["id"])}


_VIEWS: dict[str, Callable[[Session, Object], Object]] = {
    "checkout.session": _checkout,
    "payment_intent": _intent,
    "billing_portal.session": _portal,
    "invoice": _invoice,
    "charge": _charge,
}


def _money(amount: int, currency: str) -> str:
    currency = currency.upper()
    return f"{amount} {currency}" if currency in NO_CENTS else f"{amount / 100:.2f} {currency}"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %B %Y, %H:%M} UTC"
