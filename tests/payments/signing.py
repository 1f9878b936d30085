"""Signatures as Stripe makes them, written down once more from its description: not with its library, nor with ours."""

from __future__ import annotations

import hashlib
import hmac
import time


def sign(body: bytes, secret: str, *, at: float | None = None, scheme: str = "v1") -> str:
    """The `Stripe-Signature` header for exactly this body; `at` is when it was signed, in seconds of the epoch."""
    signed_at = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), b"%d." % signed_at + body, hashlib.sha256).hexdigest()
    return f"t={signed_at},{scheme}={digest}"
