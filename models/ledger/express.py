"""Hold and settle as steps of one larger statement, for the usual case on PostgreSQL (see `models/jobs/express.py`).

Each function returns a common table expression. The steps that check lock what they check, so what they found is
still true when the steps that move run.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, ColumnElement, String, cast, exists, insert, literal_column, or_, select, true, update

from models.database import now
from models.ledger.moves import BURN_ORDER
from models.ledger.tables import Account, Lot, Reason, Transfer, Wallet

MOVED = ("wallet_id", "lot_id", "amount", "source", "target", "reason", "ref", "balance_after", "job_id")
ZERO: ColumnElement[int] = literal_column("0")


def constant(word: str) -> ColumnElement[str]:
    """A word of ours written into the statement: as a parameter it would cost its share of every execution."""
    return literal_column(f"'{word}'", String)


def ready_wallet(after: CTE, *, user_id: Any, kind: Any, amount: Any) -> CTE:
    """Lock the wallet if it can pay `amount` with nothing due first: no debt, no expiry to do."""
    return (
        select(Wallet.id, Wallet.available, Wallet.held)
        .select_from(after)
        .join(Wallet, Wallet.user_id == after.c.user_id)
        .where(
            Wallet.user_id == user_id,
            Wallet.kind == kind,
            Wallet.available >= amount,
            Wallet.debt == ZERO,
            or_(Wallet.due_at.is_(None), Wallet.due_at > now()),
        )
        .with_for_update(key_share=True, of=Wallet)
        .cte("wallet")
    )


def first_lot(wallet: CTE) -> CTE:
    """Lock the lot that burns first."""
    return (
        select(Lot.id, Lot.available, Lot.held, Lot.spent, Lot.expired, Lot.clawed_back)
        .where(Lot.wallet_id == select(wallet.c.id).scalar_subquery(), Lot.usable)
        .order_by(*BURN_ORDER)
        .limit(1)
        .with_for_update(key_share=True)
        .cte("lot")
    )


def hold_from(lot: CTE, wallet: CTE, job: CTE, *, amount: Any) -> list[CTE]:
    """Move `amount` from available to held in one lot and its wallet, for each row of `job`, and write it down.

    The new values are worked out from the rows as they were locked, all of them: PostgreSQL checks constraints on what
    it makes of the version that the statement saw at its start, before it finds that there is a newer one.
    """
    of_lot = (
        update(Lot)
        .where(Lot.id == lot.c.id, exists(select(job.c.id)))
        .values(
            available=lot.c.available - amount, held=lot.c.held + amount, spent=lot.c.spent, expired=lot.c.expired,
            clawed_back=lot.c.clawed_back,
        )
        .returning(Lot.id, Lot.wallet_id)
        .cte("held_lot")
    )  # fmt: skip
    of_wallet = (
        update(Wallet)
        .where(Wallet.id == wallet.c.id, exists(select(job.c.id)))
        .values(available=wallet.c.available - amount, held=wallet.c.held + amount)
        .returning(Wallet.available)
        .cte("held_wallet")
    )
    moved = select(
        of_lot.c.wallet_id, of_lot.c.id, amount, *_words(Account.available, Account.held, Reason.hold),
        _ref(job.c.id, Reason.hold, of_lot.c.id), of_wallet.c.available, job.c.id,
    ).select_from(of_lot.join(of_wallet, true()).join(job, true()))  # fmt: skip
    return [of_lot, of_wallet, insert(Transfer).from_select(MOVED, moved).returning(Transfer.id).cte("transfer")]


def settle_in_full(job: CTE, after: CTE) -> list[CTE]:
    """Move all that `job` holds from held to spent, once `after` has a row, and write it down.

    Here the versions that the statement saw at its start do for the constraints: a running job's hold is in them.
    """
    holds = (
        select(Transfer.wallet_id, Transfer.lot_id, Transfer.amount, Transfer.job_id)
        .join(job, job.c.id == Transfer.job_id)
        .where(Transfer.reason == constant(Reason.hold))
        .cte("hold")
    )
    of_wallet = (
        update(Wallet)
        .where(
            Wallet.id == select(holds.c.wallet_id).limit(1).scalar_subquery(),
            after.c.user_id == Wallet.user_id,
        )
        .values(held=Wallet.held - job.c.held)
        .where(job.c.user_id == Wallet.user_id)
        .returning(Wallet.id, Wallet.available)
        .cte("settled_wallet")
    )
    of_lots = (
        update(Lot)
        .where(Lot.id == holds.c.lot_id, Lot.wallet_id == of_wallet.c.id)
        .values(held=Lot.held - holds.c.amount, spent=Lot.spent + holds.c.amount)
        .returning(Lot.id)
        .cte("settled_lots")
    )
    moved = select(
        holds.c.wallet_id, holds.c.lot_id, holds.c.amount, *_words(Account.held, Account.spent, Reason.settle),
        _ref(holds.c.job_id, Reason.settle, holds.c.lot_id), of_wallet.c.available, holds.c.job_id,
    ).select_from(holds.join(of_wallet, true()))  # fmt: skip
    return [of_wallet, of_lots, insert(Transfer).from_select(MOVED, moved).returning(Transfer.id).cte("transfer")]


def _words(source: Account, target: Account, reason: Reason) -> list[Any]:
    return [constant(word) for word in (source, target, reason)]


def _ref(job_id: Any, reason: Reason, lot_id: Any) -> Any:
    return constant("job:").concat(cast(job_id, String)).concat(constant(f":{reason}:")).concat(cast(lot_id, String))
