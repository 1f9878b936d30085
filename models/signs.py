"""Signs: when each part of the system was last seen to do its work, and the number it left then.

A part writes its own row over and over: `beat` when a worker did what beat asked for, `worker:…` for each service that
runs tasks, `audit` with the number of its findings, and `credits:wallet:account` with where all credits were then.
Who looks at a sign judges its age by the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, insert_into, moment, now

EVERY_SECONDS = 15.0
"""How often a part that works leaves its sign."""

FORGOTTEN_SECONDS = 86_400
"""A service that was not seen for so long is one that somebody has given up, and no longer told of."""

BEAT, AUDIT, WORKER, CREDITS = "beat", "audit", "worker:", "credits:"
"""Names, and how names begin."""


class SignRow(Base):
    """The last sign of a part. `value` is a number it left, if it leaves any."""

    __tablename__ = "signs"

    name: Mapped[str] = mapped_column(String(150), primary_key=True)
    at: Mapped[datetime] = mapped_column(AwareDateTime)
    value: Mapped[int | None] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Sign:
    """A part's last sign; `age` is in seconds."""

    name: str
    age: float
    value: int | None


def leave(session: Session, signs: Mapping[str, int | None]) -> None:
    """Write the signs of these parts, each with its number, over those they left before. One statement."""
    rows = [{"name": name, "at": now(), "value": value} for name, value in sorted(signs.items())]
    statement = insert_into(session, SignRow).values(rows)
    new = {"at": statement.excluded.at, "value": statement.excluded.value}
    session.execute(statement.on_conflict_do_update(index_elements=[SignRow.name], set_=new))


def read(session: Session) -> list[Sign]:
    """The last sign of every part, in the order of their names; not of services given up. Locks nothing."""
    clock = moment(session)
    rows = session.execute(select(SignRow.name, SignRow.at, SignRow.value).order_by(SignRow.name))
    signs = [Sign(name, max((clock - at).total_seconds(), 0.0), value) for name, at, value in rows]
    return [each for each in signs if not (each.name.startswith(WORKER) and each.age > FORGOTTEN_SECONDS)]
