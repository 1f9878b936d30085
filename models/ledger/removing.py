"""Removing: credits that the house takes away by decision, and not because money went back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.errors import Fault, InvalidInput
from models.ledger.clawbacks import clawback
from models.ledger.expiry import expire_locked
from models.ledger.moves import BURN_ORDER
from models.ledger.tables import Lot
from models.ledger.transfers import check_amount
from models.ledger.wallets import locked


def remove(session: Session, *, wallet_id: int, amount: int, ref: str, details: dict[str, Any] | None = None) -> None:
    """Take `amount` available credits out of a wallet, in the order in which they would be burned: bought ones last.

    Never more than there is: it makes no debt, and what jobs hold is theirs. `ref` names the decision; each lot's part
    is a clawback called `<ref>:<lot>`. Whether it was made before is for the caller to see, who keeps others from
    making it at the same time. Locks the wallet, then its lots. Raises `InvalidInput` naming `amount`.
    """
    check_amount(amount)
    expire_locked(session, locked(session, wallet_id))
    available = locked(session, wallet_id).available
    if amount > available:
        raise InvalidInput(Fault("amount", f"the wallet has {available} available credits: no more can be taken"))
    lots = session.execute(
        select(Lot.id, Lot.available).where(Lot.wallet_id == wallet_id, Lot.usable).order_by(*BURN_ORDER)
    ).all()
    left = amount
    for lot in lots:
        taken = min(lot.available, left)
        clawback(session, lot_id=lot.id, amount=taken, ref=f"{ref}:{lot.id}", details=details)
        left -= taken
        if not left:
            return
