"""Posting: how the mock gateway tells of its events, signed as Stripe signs them, to the webhook of this house."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from stripe import WebhookSignature

from config import Settings

PATH = "/v1/webhooks/stripe"
TIMEOUT_SECONDS = 10.0

MOST_ATTEMPTS = 16
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0


def signed(event: Mapping[str, Any], secret: str, *, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and the headers that tell of an event. The signature is as old as `at`, in seconds of the epoch."""
    body = json.dumps({name: value for name, value in event.items() if not name.startswith("_")}, indent=2)
    signature = WebhookSignature.generate_signature_header(body, secret, int(time.time()) if at is None else at)
    return body.encode(), {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}


def post(event: Mapping[str, Any], settings: Settings) -> bool:
    """Tell the webhook of an event, and say whether it was taken."""
    body, headers = signed(event, settings.webhook_secret)
    address = urlsplit(settings.public_url)
    # http.client and not a library that knows of proxies: one named in the environment must not get between us.
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", f"{address.path}{PATH}", body, headers)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def pause(attempts: int) -> float | None:
    """How long to wait after so many attempts in vain, in seconds; None is to give up."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return float(min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS))
