"""The door of the admin calls: admins, support where nothing is changed, and whoever has the `ADMIN_API_KEY`."""

from __future__ import annotations

import hmac

from flask import g, request

from config import settings
from models import users
from models.audit_log import Actor, By
from models.database import readings
from models.errors import RoleRequired
from models.users import Role
from web import tokens
from web.acting import for_everyone


def admit() -> None:
    """For `before_request`. What a user may do is asked of the database each time, and not of the token: a role that
    was taken away opens nothing. Raises `Unauthorized`, `ScopeRequired` for ordinary API keys, and `RoleRequired`.
    """
    for_everyone()
    if _has_admin_key():
        g.acting = By(Actor.admin_key, request_id=g.request_id)
        return
    caller = tokens.identify()
    with readings() as session:
        role = users.role_of(session, caller.user_id)
    if role is not Role.admin and not (role is Role.support and request.method in tokens.READING):
        needed = Role.support if request.method in tokens.READING else Role.admin
        raise RoleRequired(f"Only those with the role {needed} may do this.", role=needed)
    g.acting = By(Actor.admin, caller.user_id, g.request_id)


def acting() -> By:
    """Who acts, for the audit log."""
    by: By = g.acting
    return by


def _has_admin_key() -> bool:
    key = settings().admin_api_key
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # However much of it is right, the comparison takes as long.
    right = hmac.compare_digest(given.encode(), (key.get_secret_value() if key else "").encode())
    return key is not None and scheme == "Bearer" and right
