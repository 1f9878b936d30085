"""Who works in the house, how they ask, and what is written down of it."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from models.audit_log import AuditEntry
from models.database import sessions
from models.users import Role
from tests.accounts.people import change, join
from tests.http.conftest import Caller

KEY = "an admin key that is only for these tests"
NO_ROLE, STRANGER = (403, "role_required"), (401, "unauthorized")


def having(client: FlaskClient, email: str, role: Role) -> Caller:
    """Somebody with a role."""
    caller = join(client, email)
    change(caller, role=role)
    return caller


def ask(who: Caller, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
    given = {} if body is None else {"json": body}
    return who.client.open(f"/v1/admin{path}", method=method, headers={**who.headers, **headers}, **given)


def by_key(client: FlaskClient, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
    """Ask with the admin API key."""
    given = {} if body is None else {"json": body}
    known = {"Authorization": f"Bearer {KEY}", **headers}
    return client.open(f"/v1/admin{path}", method=method, headers=known, **given)


def entries() -> list[dict[str, Any]]:
    """What the audit log has, in order."""
    with sessions() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [
        {
            "actor": str(row.actor), "actor_id": row.actor_id, "verb": row.verb, "target": row.target,
            "before": row.before, "after": row.after, "reason": row.reason,
        }
        for row in rows
    ]  # fmt: skip
