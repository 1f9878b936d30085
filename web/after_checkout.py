"""Where customers come back to from a checkout page of the gateway, when there is no front end to come back to."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

pages = Blueprint("after_checkout", __name__, url_prefix="/checkout")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@pages.get("/success")
def success() -> Response:
    """What was bought arrives with the gateway's word, not with this page."""
    return _page("Thank you", "Your payment has gone through, or is on its way. What you bought arrives with it.")


@pages.get("/canceled")
def canceled() -> Response:
    return _page("Nothing was bought", "You left before paying, and nothing was taken.")


def _page(title: str, text: str) -> Response:
    answer = make_response(render_template("after_checkout.html", title=title, text=text))
    answer.headers["Content-Security-Policy"] = POLICY
    return answer
