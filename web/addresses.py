"""Addresses: the link that proves a new one. Whoever follows it need not be logged in there."""

from __future__ import annotations

from flask_openapi import APIBlueprint

from models import addresses
from models.database import readings, sessions
from web import acting, limits
from web.auth import Verification
from web.problems import Problem
from web.shelf import shelf

api = APIBlueprint("addresses", __name__, url_prefix="/v1/auth", abp_tags=[{"name": "auth"}])
api.before_request(acting.for_everyone)
api.before_request(limits.count_caller)


@api.post("/confirm-email", responses={204: None, 410: Problem, 422: Problem, 429: Problem})
def confirm_email(body: Verification) -> tuple[str, int]:
    """Prove by the link in an e-mail that a new address is mine. The account has it from now on."""
    move_to_address(body.token)
    return "", 204


def move_to_address(token: str) -> None:
    """What both the API and the page do with a link to a new address."""
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        addresses.confirm(session, catalog, token=token)
