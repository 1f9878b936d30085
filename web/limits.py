"""Limits: how often callers may try what is open to all: by network address, by mailbox, by account.

They are counted in the database (`models/tries.py`), so they hold across processes and restarts and need no broker.
Each count is a transaction of its own: what it was for may be refused and rolled back, and is counted all the same.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from flask import request

from config import settings
from models import tries
from models.database import sessions
from models.mailboxes import mailbox
from models.tries import Limit

SITE_PREFIX = 64
"""Bits of an IPv6 address that are its network's: whoever has one of its addresses has all of them (RFC 4291)."""

FROM_EVERYWHERE = 10
"""How many times as many log-ins may fail from all addresses together as from one."""


def count_caller() -> None:
    """For `before_request`: AUTH_RATE_LIMIT, by network address. Raises `TooManyRequests`."""
    if request.method == "OPTIONS":
        return  # a browser asks so what it may ask; that tries nothing
    with sessions() as session:
        for limit in Limit.parse(settings().auth_rate_limit):
            tries.count(session, subject=_network(), name="auth", limit=limit)


def count_mail(email: str) -> None:
    """MAIL_RATE_LIMIT, by mailbox, however its address is spelled: for what has an e-mail sent to an address that
    nobody has proved to be theirs. Raises `TooManyRequests`."""
    with sessions() as session:
        for limit in Limit.parse(settings().mail_rate_limit):
            tries.count(session, subject=mailbox(email), name="mail", limit=limit)


def count_password(email: str) -> None:
    """LOGIN_RATE_LIMIT: count a password that is tried for an address, before it is looked at. Raises
    `TooManyRequests`, whether anybody has the address or not.

    `take_back_password` once it was right, so that only failures stay counted; counting them beforehand lets no more
    through when many are tried at once. A stranger could lock somebody out by failing on purpose, so the limit holds
    for one address from one network: its owner, who is in another, can still log in. Guesses from many networks
    together have a limit ten times as high, which is what it takes to lock an account, for one window; who is logged in
    stays so, and a password can be reset all the while.
    """
    with sessions() as session:
        for subject, name, limit in _of_password(email):
            tries.count(session, subject=subject, name=name, limit=limit)


def take_back_password(email: str) -> None:
    """The password that was just counted was right."""
    with sessions() as session:
        for subject, name, limit in _of_password(email):
            tries.take_back(session, subject=subject, name=name, limit=limit)


def count_proof(user_id: UUID) -> None:
    """LOGIN_RATE_LIMIT: count a password that somebody who is logged in gives once more, before it is looked at.

    By account: whoever has got hold of a token shall not find the password out. `take_back_proof` once it was right.
    Raises `TooManyRequests`.
    """
    with sessions() as session:
        for limit in Limit.parse(settings().login_rate_limit):
            tries.count(session, subject=f"account {user_id}", name="proof", limit=limit)


def take_back_proof(user_id: UUID) -> None:
    """The password that was just counted was right."""
    with sessions() as session:
        for limit in Limit.parse(settings().login_rate_limit):
            tries.take_back(session, subject=f"account {user_id}", name="proof", limit=limit)


def count_move(user_id: UUID) -> None:
    """MAIL_RATE_LIMIT, by account: nobody has e-mails sent to one mailbox after another. Raises `TooManyRequests`."""
    with sessions() as session:
        for limit in Limit.parse(settings().mail_rate_limit):
            tries.count(session, subject=f"account {user_id}", name="mail", limit=limit)


def _of_password(email: str) -> list[tuple[str, str, Limit]]:
    email = email.lower()
    limits = Limit.parse(settings().login_rate_limit)
    return [(f"{email} from {_network()}", "password", limit) for limit in limits] + [
        (email, "password from everywhere", limit.times(FROM_EVERYWHERE)) for limit in limits
    ]


def _network() -> str:
    """What counts as one place that somebody calls from."""
    try:
        address = ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, SITE_PREFIX), strict=False))
    return str(address)
