"""Strictness: how the settings are judged that lock the doors. `config` asks; nothing is read here."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

SHORTEST_SECRET = 32
"""Bytes; an HMAC-SHA256 key shorter than its digest weakens it (RFC 7518, section 3.2)."""

HOW_TO_MAKE_ONE = "`make up` generates one, or use `python -c 'import secrets; print(secrets.token_urlsafe(48))'`"

SHORTEST_PASSWORD = 16
"""Bytes; of Flower's password, which people type."""

FEWEST_CHARACTERS = 8
"""Different ones in a secret. Of 32 random hexadecimal digits fewer are never seen."""

PLACEHOLDERS = (
    "changeme", "changethis", "replaceme", "secret", "password", "passwort", "example", "placeholder", "default",
    "insecure", "fortests", "checksonly", "development", "yourkey", "qwerty", "letmein", "12345678", "abcdefgh",
)  # fmt: skip
"""What stands where somebody should have put a secret. A random one has none of these by chance."""

HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def weakness(secret: str, shortest: int) -> str | None:
    """Why a secret of at least so many bytes could be guessed, or None."""
    length = len(secret.encode())
    if length < shortest:
        return f"expected at least {shortest} bytes, got {length}"
    if any(word in re.sub(r"[^a-z0-9]", "", secret.lower()) for word in PLACEHOLDERS):
        return "expected a random secret, got one that reads like a placeholder or comes from an example"
    if len(set(secret)) < FEWEST_CHARACTERS or secret in (secret + secret)[1:-1]:
        return "expected a random secret, got one that repeats itself"
    return None


def as_browsers_send_it(value: str) -> str | None:
    """The origin that a browser sends for this one, or None if none does."""
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        return None
    host = url.hostname or ""
    if url.scheme not in ("http", "https") or "@" in url.netloc or not HOST.fullmatch(host):
        return None
    standard = {"http": 80, "https": 443}[url.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" + (f":{port}" if port not in (None, standard) else "")


def on_this_machine(host: str) -> bool:
    """Whether a host's name or address is one of loopback."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


INSIDE = (".local", ".internal", ".lan", ".home.arpa")
"""How names end that the public DNS will never have."""


def in_a_private_network(host: str) -> bool:
    """Whether a host's name or address leads nowhere public: loopback, private addresses, and names that only a local
    network gives, such as those of containers, which have no dot."""
    if on_this_machine(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return host.endswith(INSIDE) or ("." not in host and any(each.isalpha() for each in host))
    return address.is_private and not (address.is_link_local or address.is_unspecified)
