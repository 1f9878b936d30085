"""Every table of the product, imported in one place for those who need the whole: migrations and their check."""

from models.catalog import CatalogVersion, PlanAllowance, PlanVersion
from models.jobs.tables import Job, JobSlots
from models.ledger.tables import Clawback, Lot, Transfer, Wallet
from models.notices import Notice
from models.outbox import Outbox
from models.places import Place
from models.plans.tables import Subscription
from models.promotions import PromotionUse, Redemption
from models.rates import RateWindow
from models.referrals import Referral, ReferralCode
from models.refresh_tokens import RefreshToken
from models.saved_replies import SavedReply
from models.spends import Spend
from models.users import User

__all__ = [
    "CatalogVersion",
    "Clawback",
    "Job",
    "JobSlots",
    "Lot",
    "Notice",
    "Outbox",
    "Place",
    "PlanAllowance",
    "PlanVersion",
    "PromotionUse",
    "RateWindow",
    "Redemption",
    "Referral",
    "ReferralCode",
    "RefreshToken",
    "SavedReply",
    "Spend",
    "Subscription",
    "Transfer",
    "User",
    "Wallet",
]
