"""Staging: an e-mail begins in the transaction that makes true what it tells."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models import outbox
from models.database import insert_into, new_id
from models.emails.tables import Email, EmailState
from models.emails.templates import DETAILS, Template
from models.outbox import Message

DELIVER_TASK = "email.deliver"
QUEUE = "email"


def stage(
    session: Session,
    *,
    key: str,
    template: str,
    user_id: UUID | None = None,
    recipient: str | None = None,
    **details: Any,
) -> bool:
    """Have an e-mail written and sent once this transaction commits, and say whether it is new.

    A second one with the same `key` is none. `details` must have what the template needs (`templates.DETAILS`), or it
    is a ValueError. Locks nothing; a concurrent one with the same key is waited for.
    """
    missing = DETAILS.get(Template(template), frozenset()) - details.keys()
    if missing:
        raise ValueError(f"{template} cannot be written without {', '.join(sorted(missing))}")
    email_id = new_id()
    statement = insert_into(session, Email).values(
        id=email_id, key=key, template=template, user_id=user_id, recipient=recipient, details=details,
        state=EmailState.queued, attempts=0,
    )  # fmt: skip
    new = session.scalar(statement.on_conflict_do_nothing(index_elements=[Email.key]).returning(Email.id))
    if new is None:
        return False
    outbox.stage(session, wake_up(email_id))
    return True


def wake_up(email_id: UUID) -> Message:
    """The message that has an e-mail looked at by a worker."""
    return outbox.message(task=DELIVER_TASK, queue=QUEUE, args=[str(email_id)], task_id=f"email-{email_id}")
