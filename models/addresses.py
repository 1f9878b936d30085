"""Addresses: how an account moves to another mailbox."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models import emails, one_time_tokens, signup, users
from models.catalog import Catalog
from models.database import new_id
from models.errors import Fault, InvalidInput
from models.one_time_tokens import Purpose


def ask(session: Session, *, user_id: UUID, email: str) -> None:
    """Have a link sent to a new address of a user; who asks is not told whether anybody has it.

    Raises `InvalidInput` naming `email` when it is the user's own already.
    """
    email = email.lower()
    if users.get(session, user_id).email == email:
        raise InvalidInput(Fault("email", "this is your address already"))
    emails.stage(
        session, key=f"confirm_new_address:{new_id()}", template="confirm_new_address", user_id=user_id, recipient=email
    )


def confirm(session: Session, catalog: Catalog, *, token: str) -> UUID:
    """Give an account the new address that a link was sent to, and return the user's id.

    Its reader has the mailbox, so the address is verified with that (see `signup.verify`). The old address is told, and
    links that went there are good for nothing any more. Locks the user, then the token, then as `signup.verify`. Raises
    `TokenNotGood`: also when another account has verified the address meanwhile.
    """
    used = one_time_tokens.use(session, token, purpose=Purpose.change_email)
    old = users.move(session, used.user_id, email=used.email)
    signup.verify(session, catalog, user_id=used.user_id)
    one_time_tokens.end_all(session, user_id=used.user_id)
    if old != used.email:
        emails.stage(
            session, key=f"address_changed:{used.id}", template="address_changed", user_id=used.user_id, recipient=old
        )
    return used.user_id
