"""Webhooks: what the gateway tells us, kept if it is the gateway who tells it."""

from __future__ import annotations

import json
import time
from typing import Any

import structlog
from flask import request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field
from stripe import SignatureVerificationError, WebhookSignature

from config import settings
from models.database import sessions
from models.errors import BadSignature, Fault, InvalidInput
from models.payments import inbox
from models.payments.tables import GATEWAY_ID
from web.acting import for_everyone
from web.problems import Problem

log = structlog.get_logger(__name__)

api = APIBlueprint("webhooks", __name__, url_prefix="/v1/webhooks", abp_tags=[{"name": "payments"}])
api.before_request(for_everyone)

TOLERANCE_SECONDS = 300
"""How old a signature may be, and how far ahead of our clock: what Stripe's libraries allow."""


class Received(BaseModel):
    received: bool
    new: bool = Field(description="Whether this event had not come before.")


@api.post("/stripe", responses={200: Received, 400: Problem, 413: Problem, 422: Problem})
def receive() -> dict[str, Any]:
    """For the gateway alone: an event, signed. It is stored, and a worker looks at what it is about."""
    body = request.get_data()
    check_signature(body, request.headers.get("Stripe-Signature", ""), settings().webhook_secret)
    event_id, event_type, object_id = _parts(body)
    with sessions() as session:
        new = inbox.receive(session, event_id=event_id, event_type=event_type, object_id=object_id)
    log.info("event_received", event_id=event_id, type=event_type, new=new)
    return {"received": True, "new": new}


def check_signature(body: bytes, header: str, secret: str) -> None:
    """Raise `BadSignature` unless `header` signs exactly this body with this secret, about now."""
    if not secret.strip():
        raise BadSignature("No secret is set to check signatures with.")
    try:
        # The library compares letters of ASCII only, and takes of `t=1=2` the first number.
        WebhookSignature.verify_header(body.decode(), header, secret, TOLERANCE_SECONDS)
        signed_at = next((int(part[2:]) for part in header.split(",") if part.startswith("t=")), 0)
    except (SignatureVerificationError, TypeError, ValueError):
        raise BadSignature("The signature is missing, wrong or too old.") from None
    if signed_at > time.time() + TOLERANCE_SECONDS:
        raise BadSignature("The signature is from the future: look at the clocks.")


def _parts(body: bytes) -> tuple[str, str, str]:
    try:
        payload = json.loads(body)
        event_id, event_type, found = payload["id"], payload["type"], payload["data"]["object"].get("id")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(Fault("body", "expected an event")) from None
    if not all(isinstance(each, str) for each in (event_id, event_type)) or not 0 < len(event_id) <= GATEWAY_ID:
        raise InvalidInput(Fault("id", "expected the id of an event"))
    if isinstance(found, str) and len(found) > GATEWAY_ID:
        raise InvalidInput(Fault("data.object.id", f"expected at most {GATEWAY_ID} characters"))
    # A balance or a tax rate has no id of its own; such events say nothing to us.
    return event_id, event_type[:100], found if isinstance(found, str) else ""
