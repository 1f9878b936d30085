"""Templates: every e-mail there is, and the details it cannot be written without.

How they look is in `worker/mail/templates/`. Money among the details is `{"amount": …, "currency": …}` in minor units,
credits are `{kind: amount}`, and moments are ISO 8601.
"""

from __future__ import annotations

from enum import StrEnum


class Template(StrEnum):
    """What an e-mail says."""

    verify_address = "verify_address"
    already_registered = "already_registered"
    reset_password = "reset_password"  # noqa: S105  # a word, no password
    welcome = "welcome"
    password_changed = "password_changed"  # noqa: S105
    confirm_new_address = "confirm_new_address"
    address_changed = "address_changed"
    account_closed = "account_closed"
    low_balance = "low_balance"
    credits_expiring = "credits_expiring"
    receipt = "receipt"
    renewal = "renewal"
    refund = "refund"
    dispute_opened = "dispute_opened"
    dispute_won = "dispute_won"
    payment_failed = "payment_failed"
    trial_ending = "trial_ending"
    plan_ended = "plan_ended"


DETAILS: dict[Template, frozenset[str]] = {
    Template.low_balance: frozenset({"wallet", "amount"}),
    Template.receipt: frozenset({"title", "price", "reference"}),
    Template.renewal: frozenset({"title", "price", "reference"}),
    Template.refund: frozenset({"price", "reference"}),
    Template.dispute_opened: frozenset({"title", "price", "reference"}),
    Template.dispute_won: frozenset({"title", "price", "reference"}),
    Template.payment_failed: frozenset({"title", "price"}),
    Template.trial_ending: frozenset({"title", "price", "ends_at"}),
    Template.plan_ended: frozenset({"title"}),
}
"""What must be given when one is staged. `title` is that of the pack or plan, as it was sold; `reference` is what the
buyer knows the payment by."""

OPTIONAL: dict[Template, frozenset[str]] = {
    Template.low_balance: frozenset({"low_balance"}),
    Template.receipt: frozenset({"credits", "bonus"}),
    Template.renewal: frozenset({"credits", "until"}),
    Template.refund: frozenset({"title", "credits"}),
    Template.payment_failed: frozenset({"retry_at"}),
}
"""What is shown too if it is given: the `credits` that came or went, when a plan is paid `until`, when the next attempt
to collect is made."""

NOTICES = frozenset({Template.low_balance, Template.credits_expiring})
"""Those that only help: sent to addresses that are known to be their owner's, unless the owner has said no."""
