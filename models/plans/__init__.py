"""Plans: which one a user has, in the version in which it was taken up, what it entitles to, and what it gives.

`subscribing.py` takes up and ends plans, `paid.py` those that are paid for; `entitlements.py` says what a plan lets its
user do. Allowances are the credits a plan gives per day, week or cycle, each a lot of its own that ends with its
period: granted lazily on the user's first touch in the period (`allowances.py`), so that correctness never waits for
beat, and eagerly by beat, in batches (`batches.py`). `periods.py` knows the calendar.
"""

from models.plans.allowances import grant_due, grant_late
from models.plans.batches import grant_all_due, grant_batch, users_to_reset
from models.plans.entitlements import NOTHING, Entitlements, Held, entitlements, read_entitlements
from models.plans.paid import end_paid, is_open, let_end_at, pay_until, take_up
from models.plans.periods import Window, months_after, window
from models.plans.subscribing import end_overdue, leave, overdue, plan_at_signup, subscribe, unsubscribe
from models.plans.tables import Origin, Subscription

__all__ = [
    "NOTHING",
    "Entitlements",
    "Held",
    "Origin",
    "Subscription",
    "Window",
    "end_overdue",
    "end_paid",
    "entitlements",
    "grant_all_due",
    "grant_batch",
    "grant_due",
    "grant_late",
    "is_open",
    "leave",
    "let_end_at",
    "months_after",
    "overdue",
    "pay_until",
    "plan_at_signup",
    "read_entitlements",
    "subscribe",
    "take_up",
    "unsubscribe",
    "users_to_reset",
    "window",
]
