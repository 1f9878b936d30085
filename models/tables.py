"""Every table of the product, imported in one place for those who need the whole: migrations and their check."""

from models.catalog import CatalogVersion
from models.jobs.tables import Job, JobSlots
from models.ledger.tables import Clawback, Lot, Transfer, Wallet
from models.outbox import Outbox
from models.refresh_tokens import RefreshToken
from models.users import User

__all__ = [
    "CatalogVersion",
    "Clawback",
    "Job",
    "JobSlots",
    "Lot",
    "Outbox",
    "RefreshToken",
    "Transfer",
    "User",
    "Wallet",
]
