"""Public URLs: addresses of the web that users name and our workers may go to.

Whoever can name an address for a server to fetch can have it look at what only that server can reach: itself, its
neighbours, the cloud's own services. So an address must be https at its usual port, have a name that the world
knows, and lead to addresses of the public internet only. The front door refuses what can be told from the words
alone, and a worker what the name turns out to be (`worker/fetching.py`).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter
from pydantic.networks import HttpUrl, UrlConstraints

LONGEST = 2_000
HTTPS_PORT = 443

INSIDE = frozenset(("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private"))
"""Last parts of names that only mean something within a machine, a network or a cloud; nobody can register one (RFC
6761, RFC 6762 with its appendix G, and ICANN's resolutions on .internal, .home and .corp)."""

HOME_NETWORK = ["home", "arpa"]
"""Likewise (RFC 8375)."""

NOT_PUBLIC = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
"""IANA's registries of special addresses, in full: which of them Python knows depends on its release."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is public of IPv6."""

NAT64 = IPv6Network("64:ff9b::/96")
"""How hosts that have only IPv6 reach IPv4 (RFC 6052); the last 32 bits are where it leads."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether everybody may reach what has this address."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None)
        if inner is not None:
            return is_public(inner)
        if address not in GLOBAL_UNICAST or address.scope_id is not None:
            return False
    return address.is_global and not any(address in network for network in NOT_PUBLIC)


def _public(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("must not have a user or password in it")
    if url.port != HTTPS_PORT:
        raise ValueError("must be at port 443")
    host = (url.host or "").strip("[]")
    try:
        # By here every spelling of an address, such as 0x7f000001 or 127.1, has become the usual one.
        known = is_public(ip_address(host))
    except ValueError:
        labels = host.rstrip(".").lower().split(".")
        known = len(labels) > 1 and labels[-1] not in INSIDE and labels[-2:] != HOME_NETWORK
    if not known:
        raise ValueError("must lead to the public internet")
    return url


PublicUrl = Annotated[HttpUrl, UrlConstraints(max_length=LONGEST, allowed_schemes=["https"]), AfterValidator(_public)]
"""A URL that could be public, as far as its words tell."""

_PUBLIC_URL: TypeAdapter[HttpUrl] = TypeAdapter(PublicUrl)


def parse(url: str) -> HttpUrl:
    """The URL that these words are. Raises pydantic's `ValidationError`, which is a `ValueError`."""
    return _PUBLIC_URL.validate_python(url)
