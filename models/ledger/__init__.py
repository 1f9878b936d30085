"""The ledger: how credits are granted, held, settled, released, spent, expired and taken back.

Credits only move by a transfer, each verb is idempotent by its `ref` or job, and integers are all there is. Locks are
taken wallet first, then its lots; a job's row, where one is involved, before both.

    grant      issued    → available      a lot is born
    hold       available → held           a job reserves its price
    settle     held      → spent          …and pays it, in whole or in part; the rest is released
    release    held      → available      …or gets all of it back, into the very lots it came from
    spend      available → spent          a charge with no job
    expire     available → expired        a lot's time is over
    clawback   available → clawed_back    the money went back; what was spent already becomes debt
    restore    clawed_back → available    …and the money came back again
"""

from models.ledger.batches import grant_page
from models.ledger.clawbacks import clawback, restore
from models.ledger.expiry import expire, forfeit, reset_next, wallets_due
from models.ledger.moves import Outcome, grant, hold, release, settle, spend
from models.ledger.removing import remove
from models.ledger.statistics import Expiring, Overview, Usage, expiring, overviews, totals
from models.ledger.tables import (
    LASTING,
    MOST_CREDITS,
    Account,
    Clawback,
    Lot,
    Reason,
    Source,
    Transfer,
    Wallet,
)
from models.ledger.wallets import (
    Balance,
    balances,
    granted_under,
    lock_wallets,
    open_wallet,
    wallet_ids,
    wallets_to_reset,
)

__all__ = [
    "LASTING",
    "MOST_CREDITS",
    "Account",
    "Balance",
    "Clawback",
    "Expiring",
    "Lot",
    "Outcome",
    "Overview",
    "Reason",
    "Source",
    "Transfer",
    "Usage",
    "Wallet",
    "balances",
    "clawback",
    "expire",
    "expiring",
    "forfeit",
    "grant",
    "grant_page",
    "granted_under",
    "hold",
    "lock_wallets",
    "open_wallet",
    "overviews",
    "release",
    "remove",
    "reset_next",
    "restore",
    "settle",
    "spend",
    "totals",
    "wallet_ids",
    "wallets_due",
    "wallets_to_reset",
]
