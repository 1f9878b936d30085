"""How commands name a user: by address."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from models import users
from models.users import User


def user_of(session: Session, email: str) -> User:
    """The account of an address; ends the command when there is none."""
    user = users.find(session, email=email)
    if user is None:
        raise click.ClickException(f"No account has the address {email}.")
    return user
