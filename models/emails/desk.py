"""The desk: e-mails as the people of the house see them, without what they say and to which address; and again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session, defer

from models import audit_log, outbox, pages
from models.audit_log import By
from models.database import now
from models.emails.staging import wake_up
from models.emails.tables import Email, EmailState
from models.emails.templates import Template
from models.errors import EmailNotSendable, NotFound

WITHOUT_CONTENT = (defer(Email.details, raiseload=True), defer(Email.key, raiseload=True))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which e-mails are asked for; None is all."""

    state: EmailState | None = None
    template: Template | None = None
    user_id: UUID | None = None


def page(session: Session, *, wanted: Wanted, limit: int, after: UUID | None = None) -> tuple[list[Email], UUID | None]:
    """E-mails, newest first, from just after the e-mail `after`; with the id to go on from, None at the end.

    A page can be short, or empty, before the end (`pages.newest`).
    """
    filters = [
        column == value
        for column, value in ((Email.state, wanted.state), (Email.template, wanted.template))
        if value is not None
    ]
    owner = None if wanted.user_id is None else (Email.user_id, wanted.user_id)
    query = select(Email).options(*WITHOUT_CONTENT)
    return pages.newest(session, query, Email.id, owner=owner, filters=filters, limit=limit, after=after)


def replay(session: Session, *, by: By, email_id: UUID, reason: str | None, again: bool = False) -> Email:
    """Have an e-mail tried now: one that waits, or that was refused or dropped; one that was sent only if `again`.

    It is written anew, so that one nobody is to have any more is dropped once more, and a link in it is as good as it
    was. Its attempts go on counting, which fences those that are still at it. Locks the e-mail. Raises `NotFound`, and
    `EmailNotSendable` when it was sent, or nobody knows any more where it was to go.
    """
    query = select(Email).options(*WITHOUT_CONTENT).where(Email.id == email_id)
    email = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if email is None:
        raise NotFound("There is no such e-mail.")
    if email.state is EmailState.sent and not again:
        raise EmailNotSendable("This e-mail was sent: say `again` to send it a second time.", state=email.state)
    if email.user_id is None and email.recipient is None:
        raise EmailNotSendable("Where this e-mail was to go was forgotten when it ended.", state=email.state)
    before = {"state": email.state, "attempts": email.attempts, "trouble": email.trouble}
    queued = update(Email).where(Email.id == email_id)
    queued = queued.values(state=EmailState.queued, ended_at=None, trouble=None, due_at=now())
    session.execute(queued.execution_options(synchronize_session=False))
    outbox.stage(session, wake_up(email_id))
    session.refresh(email, ["state", "ended_at", "trouble", "due_at"])
    audit_log.record(
        session, by=by, verb="email.replay", target=f"email:{email_id}", before=before,
        after={"state": email.state, "attempts": email.attempts}, reason=reason,
    )  # fmt: skip
    return email
