"""Links: addresses of files that work for whoever has them, without a token, until they run out.

An `<img>` or an `<a>` sends no header, so the address itself says what may be fetched and until when, signed with a key
that is derived from SECRET_KEY: nobody can make one, change one, or have one last longer.
"""

from __future__ import annotations

import hmac
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from config import settings
from models.errors import LinkExpired, NotFound

SAID = struct.Struct(">16sHQ")
"""Which job, which of its outputs, and until when, in seconds since 1970. With the seal it is a multiple of three
bytes, and so has no padding."""

SEAL_BYTES = 16
"""128 bits: nobody guesses that, and a link stays short."""

STEPS = 4
"""How often in its life a link is made anew. All that are made within one step are the same, and so are the answers
that they stand in: a browser knows the picture again, and a poll is a 304."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is to: an output of a job; and `expires_at`, in seconds since 1970, by this machine's clock."""

    job_id: UUID
    index: int
    expires_at: int


def expiry() -> int:
    """When links that are made now run out: after OUTPUT_URL_SECONDS at least, and at most a quarter more."""
    seconds = settings().output_url_seconds
    step = seconds // STEPS
    return (int(time.time()) // step + 1) * step + seconds


def seconds_left(link: Link) -> int:
    """How long a link is still good, a second at least: it was when it was read."""
    return max(link.expires_at - int(time.time()), 1)


def sign(link: Link) -> str:
    """The link as it stands in an address."""
    said = SAID.pack(link.job_id.bytes, link.index, link.expires_at)
    return urlsafe_b64encode(said + _seal(said)).decode()


def read(text: str) -> Link:
    """What somebody's link is to. Raises `NotFound` when it is none of ours, and `LinkExpired` when it is over."""
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except (Error, ValueError):
        data = b""
    said, seal = data[: SAID.size], data[SAID.size :]
    # One link has one spelling; the decoder would forgive others.
    if len(said) != SAID.size or not hmac.compare_digest(seal, _seal(said)) or urlsafe_b64encode(data) != text.encode():
        raise NotFound("There is nothing here.")
    job_id, index, expires_at = SAID.unpack(said)
    if expires_at <= time.time():
        raise LinkExpired("The time of this link is over: ask for the job again, it has a new one.")
    return Link(UUID(bytes=job_id), index, expires_at)


def _seal(said: bytes) -> bytes:
    return hmac.digest(_key(settings().secret_key.get_secret_value()), said, "sha256")[:SEAL_BYTES]


@cache
def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"links to outputs", "sha256")
