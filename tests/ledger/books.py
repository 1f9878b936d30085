"""Reading the books in tests: what moved, and what each wallet and lot says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from models import ledger
from models.database import is_postgresql, moment, sessions
from models.ledger import Account, Clawback, Lot, Reason, Source, Transfer, Wallet
from models.ledger.audit import findings
from tests.audits import prove

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)
HOUR = 3600.0


class Move(NamedTuple):
    """One row of `transfers`, as a test spells it."""

    reason: Reason
    source: Account
    target: Account
    amount: int
    lot_id: int
    balance_after: int


class Sums(NamedTuple):
    """What a wallet says of itself."""

    available: int
    held: int
    debt: int


class Parts(NamedTuple):
    """Where the credits of a lot are."""

    available: int = 0
    held: int = 0
    spent: int = 0
    expired: int = 0
    clawed_back: int = 0


def once(verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a verb in a transaction of its own, then prove that the books still balance."""
    with sessions() as session:
        result = verb(session, *args, **kwargs)
    prove(findings)
    return result


def twice(verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a verb, and then again: the second call gives the same result and changes not one row."""
    first = once(verb, *args, **kwargs)
    before = everything()
    second = once(verb, *args, **kwargs)
    assert _plain(second) == _plain(first)
    assert everything() == before
    return first


def refused(error: type[E], verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> E:
    """Call a verb that must raise exactly `error`, prove that nothing at all has changed, and return the error."""
    before = everything()
    with pytest.raises(error) as raised:
        once(verb, *args, **kwargs)
    assert raised.type is error
    assert everything() == before
    return raised.value


def everything() -> list[list[tuple[Any, ...]]]:
    """Every row of the ledger."""
    with sessions() as session:
        return [
            [tuple(row) for row in session.execute(select(*table.__table__.c).order_by(table.__table__.c.id))]
            for table in (Wallet, Lot, Transfer, Clawback)
        ]


def moves(wallet_id: int, *, but: int = 0) -> list[Move]:
    """The transfers of a wallet in the order they were made, without the first `but`."""
    columns = (getattr(Transfer, name) for name in Move._fields)
    with sessions() as session:
        rows = session.execute(select(*columns).where(Transfer.wallet_id == wallet_id).order_by(Transfer.id))
        return [Move(*row) for row in rows][but:]


def refs(wallet_id: int) -> list[str]:
    """The refs of a wallet's transfers in the order they were made."""
    with sessions() as session:
        return list(session.scalars(select(Transfer.ref).where(Transfer.wallet_id == wallet_id).order_by(Transfer.id)))


def transfers() -> int:
    """How many transfers there are in the whole database."""
    with sessions() as session:
        return session.execute(select(func.count()).select_from(Transfer)).scalar_one()


def sums(wallet_id: int) -> Sums:
    with sessions() as session:
        row = session.execute(select(Wallet.available, Wallet.held, Wallet.debt).where(Wallet.id == wallet_id)).one()
        return Sums(*row)


def parts(lot_id: int) -> Parts:
    with sessions() as session:
        columns = (getattr(Lot, name) for name in Parts._fields)
        return Parts(*session.execute(select(*columns).where(Lot.id == lot_id)).one())


def lots(wallet_id: int) -> list[int]:
    """The ids of a wallet's lots, oldest first."""
    with sessions() as session:
        return list(session.scalars(select(Lot.id).where(Lot.wallet_id == wallet_id).order_by(Lot.id)))


def lot(wallet_id: int, amount: int, *, ref: str, source: Source = Source.promo, hours: float | None = None) -> int:
    """Grant a lot that expires `hours` from now (before now, if below zero), or never."""
    return once(
        ledger.grant, wallet_id=wallet_id, amount=amount, source=source, ref=ref,
        expires_at=None if hours is None else clock(hours * HOUR),
    )  # fmt: skip


def clock(plus: float = 0) -> datetime:
    with sessions() as session:
        return moment(session, plus=plus)


def time_is_up(lot_id: int) -> None:
    """Let the time of one lot pass: its expiry, and when its wallet is due, become a moment ago."""
    with sessions() as session:
        late = moment(session, plus=-1)
        session.execute(update(Lot).where(Lot.id == lot_id).values(expires_at=late))
        owner = select(Lot.wallet_id).where(Lot.id == lot_id).scalar_subquery()
        session.execute(update(Wallet).where(Wallet.id == owner).values(due_at=late))


def let_transfers_be_rewritten() -> None:
    """Take away the triggers that keep transfers as they were written."""
    with sessions() as session:
        if is_postgresql(session):
            session.execute(text("ALTER TABLE transfers DISABLE TRIGGER USER"))
        else:
            for trigger in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                session.execute(text(f"DROP TRIGGER {trigger}"))


def by_hand(*statements: str, **values: Any) -> None:
    """Do to the books what no verb would: raw SQL in one transaction."""
    with sessions() as session:
        for statement in statements:
            session.execute(text(statement), values)


def _plain(result: Any) -> Any:
    """A result that can be compared: a clawback by its columns."""
    if isinstance(result, Clawback):
        return [getattr(result, column.name) for column in Clawback.__table__.c]
    return result
