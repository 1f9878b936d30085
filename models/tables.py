"""Every table of the product, imported in one place for those who need the whole: migrations and their check."""

from models.api_keys import ApiKey
from models.audit_log import AuditEntry
from models.catalog import CatalogVersion, PlanAllowance, PlanVersion
from models.emails import Email
from models.jobs.attempts import Attempt
from models.jobs.tables import Job, JobSlots
from models.ledger.tables import Clawback, Lot, Transfer, Wallet
from models.logins import Login, RefreshToken
from models.low_balances import LowBalance, LowBalanceWalk
from models.mailboxes import Mailbox
from models.notices import Notice
from models.one_time_tokens import OneTimeToken
from models.outbox import Outbox
from models.payments.billing import BilledSubscription
from models.payments.errands import Errand
from models.payments.inbox import GatewayEvent
from models.payments.mock_objects import MockObject
from models.payments.reconciliation import ReconciliationMark
from models.payments.tables import Checkout, Customer, Dispute, Invoice, Payment, PaymentLot, Refund
from models.payments.top_ups import TopUp
from models.places import Place
from models.plans.tables import Subscription
from models.promotions import PromotionUse, Redemption
from models.providers import ProviderState
from models.rates import RateWindow
from models.referrals import Referral, ReferralCode
from models.retention import RetentionMark
from models.saved_replies import SavedReply
from models.signs import SignRow
from models.spends import Spend
from models.tries import TryWindow
from models.uploads import Upload
from models.users import User

__all__ = [
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "BilledSubscription",
    "CatalogVersion",
    "Checkout",
    "Clawback",
    "Customer",
    "Dispute",
    "Email",
    "Errand",
    "GatewayEvent",
    "Invoice",
    "Job",
    "JobSlots",
    "Login",
    "Lot",
    "LowBalance",
    "LowBalanceWalk",
    "Mailbox",
    "MockObject",
    "Notice",
    "OneTimeToken",
    "Outbox",
    "Payment",
    "PaymentLot",
    "Place",
    "PlanAllowance",
    "PlanVersion",
    "PromotionUse",
    "ProviderState",
    "RateWindow",
    "ReconciliationMark",
    "Redemption",
    "Referral",
    "ReferralCode",
    "RefreshToken",
    "Refund",
    "RetentionMark",
    "SavedReply",
    "SignRow",
    "Spend",
    "Subscription",
    "TopUp",
    "Transfer",
    "TryWindow",
    "Upload",
    "User",
    "Wallet",
]
