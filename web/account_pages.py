"""Small pages behind the links in e-mails, for a product whose front end has none (`APP_URL` is empty).

A link shows a page and uses nothing up: scanners of mail follow every link they see. The page's button does, by a plain
form; there is no script. The token stands in the link's address, so these pages load nothing and send no referrer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import Blueprint, Response, make_response, render_template, request, url_for
from pydantic import TypeAdapter, ValidationError

from config import settings
from models import one_time_tokens
from models.database import readings
from models.errors import Refusal, TokenNotGood
from models.one_time_tokens import Condition, Purpose
from web import acting, addresses, auth, limits, texts
from web.requests import takes_a_form
from web.shelf import shelf

pages = Blueprint("account_pages", __name__)
pages.before_request(acting.for_everyone)
pages.before_request(limits.count_caller)


@dataclass(frozen=True, slots=True)
class Errand:
    """What a link is for, in the words of its page: `title`, `words` and `button` before; `done` after; `used` when the
    link comes again."""

    purpose: Purpose
    template: str
    title: str
    words: str
    button: str
    done: tuple[str, str]
    used: str


VERIFY = Errand(
    Purpose.verify_email,
    "button.html",
    "Is this your address?",
    "An account was opened with the address that this link was sent to. If that was not you, close this page: nothing "
    "happens then.",
    "Yes, this is my address",
    ("Thank you", "Your address is verified."),
    "If it was you who used it, your address is verified and there is nothing more to do.",
)
RESET = Errand(
    Purpose.reset_password,
    "password.html",
    "Choose a new password",
    "You will be logged out everywhere and can log in with the new password.",
    "Set the new password",
    ("Your password is changed", "You can log in with it now."),
    "If it was you who used it, log in with your new password. If not, ask for a new link.",
)


CONFIRM = Errand(
    Purpose.change_email,
    "button.html",
    "Is this your new address?",
    "An account is to move to the address that this link was sent to. If that was not you, close this page: nothing "
    "happens then.",
    "Yes, this is my new address",
    ("Thank you", "Your account has your new address."),
    "If it was you who used it, your account has your new address and there is nothing more to do.",
)


@pages.get("/verify-email")
def ask_verify() -> Response:
    return _ask(VERIFY)


@pages.post("/verify-email")
@takes_a_form
def verify() -> Response:
    auth.verify_address(_field("token"))
    return _told(*VERIFY.done)


@pages.get("/reset-password")
def ask_reset() -> Response:
    return _ask(RESET)


@pages.post("/reset-password")
@takes_a_form
def reset() -> Response:
    token, password = _field("token"), _field("password")
    if password != _field("again"):
        return _form(RESET, token, fault="The two are not the same. Type both again.", status=422)
    try:
        TypeAdapter(texts.Password).validate_python(password)
    except ValidationError:
        length = f"{texts.SHORTEST_PASSWORD} to {texts.LONGEST_PASSWORD}"
        return _form(RESET, token, fault=f"Use {length} characters.", status=422)
    auth.set_password(token, password)
    return _told(*RESET.done)


@pages.get("/confirm-email")
def ask_confirm() -> Response:
    return _ask(CONFIRM)


@pages.post("/confirm-email")
@takes_a_form
def confirm() -> Response:
    addresses.move_to_address(_field("token"))
    return _told(*CONFIRM.done)


@pages.errorhandler(Refusal)
def _refused(refusal: Refusal) -> Response:
    """What a verb declined, for people."""
    response = _told(refusal.title, refusal.detail, status=refusal.status)
    if "retry_after" in refusal.members:
        response.headers["Retry-After"] = str(refusal.members["retry_after"])
    return response


def _ask(errand: Errand) -> Response:
    token = request.args.get("token", "")
    with readings() as session:
        condition = one_time_tokens.condition(session, token, purpose=errand.purpose)
    if condition is Condition.good:
        return _form(errand, token)
    if condition is Condition.used:
        return _told("This link was used before", errand.used, status=410)
    return _told(TokenNotGood.title, "Its time is over, or it is not whole. Ask for a new one.", status=410)


def _form(errand: Errand, token: str, *, fault: str = "", status: int = 200) -> Response:
    return _page(
        errand.template, status, title=errand.title, words=errand.words, button=errand.button, token=token, fault=fault,
        action=url_for(request.endpoint or ""), shortest=texts.SHORTEST_PASSWORD,
        longest=texts.LONGEST_PASSWORD,
    )  # fmt: skip


def _told(title: str, words: str, *, status: int = 200) -> Response:
    return _page("told.html", status, title=title, words=words, app_url=settings().app_url)


def _page(template: str, status: int, **shown: object) -> Response:
    with readings() as session:
        product = shelf.catalog(session).title
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template(template, product=product, nonce=nonce, **shown), status)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


def _field(name: str) -> str:
    return request.form.get(name, "")
