"""Billing: the subscriptions that are paid through the gateway, and what their state means for the plan of a user."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import catalog, emails, plans, users
from models.catalog import Billing, Plan, PlanVersion
from models.database import AwareDateTime, Base, BigId, moment, words
from models.errors import Underway
from models.payments import checkouts, errands
from models.payments.errands import ErrandKind
from models.payments.facts import InvoiceStatus, SubscriptionFact, SubscriptionStatus
from models.payments.tables import GATEWAY_ID, Checkout, Invoice
from models.plans import Held, Origin

GOING_ON = "ended_at IS NULL"

GRACE = timedelta(days=7)
"""How long the features of a plan last while its payment fails: Stripe's usual retries take about as long."""

TRIAL_NOTICE = timedelta(days=3)
"""How long before the end of a trial its user is told: when Stripe sends `trial_will_end`."""

OVER = (SubscriptionStatus.canceled, SubscriptionStatus.incomplete_expired)
NOT_BEGUN = (SubscriptionStatus.incomplete, SubscriptionStatus.incomplete_expired)
DECLINES = ("card_declined", "authentication_required")
"""Problems of an errand that are the bank's word, not a fault."""

GOOD = (SubscriptionStatus.active, SubscriptionStatus.trialing)


class BilledSubscription(Base):
    """One subscription at the gateway, by its id there (`sub_…`); a user has at most one going on.

    `plan` and `billing` are what is paid for now, in the version `plan_version_id` that was sold; `next_plan` and
    `next_billing` what follows when the period ends. Cycles are counted from `anchor_at`. What was paid reaches to
    `paid_until`; only until then does the plan give credits. `past_due_since` is when a payment first failed; the
    features last for a grace period from then.
    """

    __tablename__ = "billed_subscriptions"
    __table_args__ = (
        Index(
            "uq_billed_subscriptions_user_id_going_on", "user_id", unique=True,
            postgresql_where=text(GOING_ON), sqlite_where=text(GOING_ON),
        ),
        Index("ix_billed_subscriptions_user_id", "user_id"),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    subscription_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("subscriptions.id"))
    plan: Mapped[str] = mapped_column(String(50))
    plan_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("plan_versions.id"))
    billing: Mapped[Billing] = mapped_column(words(Billing, "billing"))
    next_plan: Mapped[str | None] = mapped_column(String(50))
    next_billing: Mapped[Billing | None] = mapped_column(words(Billing, "next_billing"))
    status: Mapped[SubscriptionStatus] = mapped_column(words(SubscriptionStatus, "status"))
    period_starts_at: Mapped[datetime] = mapped_column(AwareDateTime)
    period_ends_at: Mapped[datetime] = mapped_column(AwareDateTime)
    anchor_at: Mapped[datetime] = mapped_column(AwareDateTime)
    paid_until: Mapped[datetime] = mapped_column(AwareDateTime)
    trial_ends_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    cancels_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    past_due_since: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)

    @property
    def series(self) -> str:
        """What the cycles of this subscription are counted under; a trial's are its own."""
        return f"{self.id}:{self.anchor_at:%Y%m%dT%H%M%S}"


def going_on(session: Session, *, user_id: UUID) -> BilledSubscription | None:
    """The subscription that a user pays for now, if there is one. Locks nothing."""
    mine = (BilledSubscription.user_id == user_id, BilledSubscription.ended_at.is_(None))
    return session.scalar(select(BilledSubscription).where(*mine))


def billed(session: Session, gateway_id: str | None) -> BilledSubscription | None:
    """The subscription of this id at the gateway, as it is now, if it is one of ours."""
    if gateway_id is None:
        return None
    return session.get(BilledSubscription, gateway_id, populate_existing=True)


def follow_subscription(session: Session, fact: SubscriptionFact) -> bool:
    """Bring a user's plan in line with a subscription at the gateway, and say whether it is of a user of ours.

    Features follow its status; credits do not, they come with paid invoices. A larger plan counts at once, with the
    difference for the rest of the cycle; a smaller one from the next period. Of two subscriptions of one user the
    second is undone, and so is one that begins when the account closes. Locks the user, then the wallets.
    """
    user_id = _owner(session, fact)
    if user_id is None:
        return False
    users.lock(session, user_id)
    row = billed(session, fact.id) or _begin(session, fact, user_id)
    if row is None:
        return True
    if row.ended_at is not None:
        return True
    cut_short = _cut_short(session, row, fact)
    new_period = cut_short or fact.period_starts_at >= row.period_ends_at
    if cut_short or row.anchor_at < fact.period_starts_at == fact.trial_ends_at:
        # The first time that is paid for begins with the trial's end, and so do its cycles; likewise after a period
        # that the gateway was told to end early.
        _count_anew(session, row, fact.period_starts_at)
    row.status = fact.status
    row.period_starts_at, row.period_ends_at = fact.period_starts_at, fact.period_ends_at
    row.cancels_at, row.trial_ends_at = fact.cancels_at, fact.trial_ends_at
    if fact.status in OVER or fact.ended_at is not None:
        _end(session, row, fact.ended_at or moment(session))
        return True
    _change_plan(session, row, fact, new_period=new_period)
    _match_status(session, row)
    session.flush()
    return True


def _owner(session: Session, fact: SubscriptionFact) -> UUID | None:
    """Whose subscription it is: the customer's, or whoever began the checkout that led to it."""
    owner = checkouts.owner_of(session, customer_id=fact.customer_id)
    if owner is None and fact.checkout_id is not None:
        owner = session.scalar(select(Checkout.user_id).where(Checkout.id == fact.checkout_id))
    return owner


def _begin(session: Session, fact: SubscriptionFact, user_id: UUID) -> BilledSubscription | None:
    """The row of a subscription that is new to us; None when it has not begun or is one too many."""
    sold = _sold(session, fact)
    if fact.status in NOT_BEGUN or sold is None:
        return None
    over = fact.status in OVER or fact.ended_at is not None
    if not over and (going_on(session, user_id=user_id) is not None or not users.is_open(session, user_id)):
        with suppress(Underway):
            errands.send(session, ErrandKind.undo, user_id=user_id, about=fact.id)
        return None
    name, billing, terms = sold
    row = BilledSubscription(
        id=fact.id,
        user_id=user_id,
        plan=name,
        plan_version_id=catalog.plan_version(session, name, terms),
        billing=billing,
        status=fact.status,
        period_starts_at=fact.period_starts_at,
        period_ends_at=fact.period_ends_at,
        anchor_at=fact.period_starts_at,
        paid_until=fact.period_starts_at,
        trial_ends_at=fact.trial_ends_at,
        created_at=fact.created_at,
        # One that is over before we heard of it may have been paid all the same: its invoices will tell.
        ended_at=(fact.ended_at or moment(session)) if over else None,
    )
    session.add(row)
    session.flush()
    return row


def _sold(session: Session, fact: SubscriptionFact) -> tuple[str, Billing, Plan] | None:
    """The plan that was bought: as its checkout has it, or else as it is sold now; None when it is none of ours."""
    begun = session.get(Checkout, fact.checkout_id) if fact.checkout_id is not None else None
    if begun is not None and begun.plan is not None and begun.billing is not None and fact.plan in (None, begun.plan):
        return begun.plan, begun.billing, Plan.model_validate(begun.terms["plan"])
    on_sale = catalog.current(session).plans
    if fact.plan is None or fact.billing is None or fact.plan not in on_sale:
        return None
    return fact.plan, fact.billing, on_sale[fact.plan]


def _change_plan(session: Session, row: BilledSubscription, fact: SubscriptionFact, *, new_period: bool) -> None:
    """Take over what is billed: now when it is more or a new period has begun, else when the period ends."""
    on_sale = catalog.current(session).plans
    if fact.plan is None or fact.billing is None or fact.plan not in on_sale:
        return
    if (fact.plan, fact.billing) == (row.plan, row.billing):
        row.next_plan, row.next_billing = fact.next_plan, fact.next_billing
        return
    old, new = terms_of(session, row), on_sale[fact.plan]
    if not new_period and not is_more(old, row.billing, new, fact.billing):
        row.next_plan, row.next_billing = fact.plan, fact.billing
        return
    row.plan, row.billing = fact.plan, fact.billing
    row.plan_version_id = catalog.plan_version(session, fact.plan, new)
    row.next_plan, row.next_billing = fact.next_plan, fact.next_billing
    if plans.is_open(session, subscription_id=row.subscription_id):
        _take_up(session, row, instead_of=None if new_period else old)


def is_more(old: Plan, old_billing: Billing, new: Plan, new_billing: Billing) -> bool:
    """Whether a change is an upgrade, which counts at once: a higher rank, or the same plan for a longer time."""
    longer = new_billing is Billing.yearly and old_billing is Billing.monthly
    return new.rank > old.rank or (new.rank == old.rank and longer)


def _match_status(session: Session, row: BilledSubscription) -> None:
    """Give the plan, let it go on for the grace period, or take it away, as the status says."""
    if row.status in GOOD:
        row.past_due_since = None
        if not plans.is_open(session, subscription_id=row.subscription_id) and _is_best(session, row):
            _take_up(session, row)
    elif row.status is SubscriptionStatus.past_due:
        row.past_due_since = row.past_due_since or moment(session)
    elif row.subscription_id is not None:
        plans.end_paid(session, user_id=row.user_id, subscription_id=row.subscription_id)
    if row.subscription_id is not None:
        ends = [row.cancels_at, row.past_due_since + GRACE if row.past_due_since else None]
        plans.let_end_at(
            session, subscription_id=row.subscription_id, ends_at=min((each for each in ends if each), default=None)
        )
    trial_ends = row.trial_ends_at
    if row.status is SubscriptionStatus.trialing and trial_ends and trial_ends - moment(session) <= TRIAL_NOTICE:
        emails.stage(
            session, key=f"trial:{row.id}:{trial_ends:%Y%m%d}", template="trial_ending", user_id=row.user_id,
            title=terms_of(session, row).title, ends_at=trial_ends.isoformat(),
            price=terms_of(session, row).prices[row.billing].model_dump(),
        )  # fmt: skip


def _is_best(session: Session, row: BilledSubscription) -> bool:
    """Whether the user has nothing better meanwhile, from an administrator or a code."""
    held = plans.entitlements(session, user_id=row.user_id).held
    return held is None or held.origin is Origin.signup or held.terms.rank <= terms_of(session, row).rank


def _take_up(session: Session, row: BilledSubscription, *, instead_of: Plan | None = None) -> None:
    row.subscription_id = plans.take_up(
        session,
        user_id=row.user_id,
        plan_version_id=row.plan_version_id,
        billing=row.billing,
        series=row.series,
        anchor_at=row.anchor_at,
        paid_until=row.paid_until,
        instead_of=instead_of,
    )


def _cut_short(session: Session, row: BilledSubscription, fact: SubscriptionFact) -> bool:
    """Whether the gateway has begun a period before the last one was over, other than for an upgrade.

    Nothing was upgraded when the same is billed as before, or less.
    """
    if not row.period_starts_at < fact.period_starts_at < row.period_ends_at:
        return False
    sold = catalog.current(session).plans.get(fact.plan or "")
    if sold is None or fact.billing is None:
        return True
    return not is_more(terms_of(session, row), row.billing, sold, fact.billing)


def _count_anew(session: Session, row: BilledSubscription, anchor_at: datetime) -> None:
    """Count the cycles from `anchor_at`; what is paid from then on may have been told before."""
    row.anchor_at = anchor_at
    paid = select(func.max(Invoice.covers_until)).where(
        Invoice.subscription_id == row.id, Invoice.status == InvoiceStatus.paid, Invoice.covers_from >= anchor_at
    )
    row.paid_until = session.scalar(paid) or min(row.paid_until, anchor_at)
    if plans.is_open(session, subscription_id=row.subscription_id):
        _take_up(session, row)


def _end(session: Session, row: BilledSubscription, ended_at: datetime) -> None:
    title = terms_of(session, row).title
    row.ended_at = ended_at
    if row.subscription_id is not None:
        plans.end_paid(session, user_id=row.user_id, subscription_id=row.subscription_id)
    session.flush()
    emails.stage(session, key=f"ended:{row.id}", template="plan_ended", user_id=row.user_id, title=title)


def as_held(session: Session, row: BilledSubscription) -> Held:
    """The plan of a subscription, as a user has it or had it."""
    return Held(
        subscription_id=row.subscription_id or 0, plan=row.plan, terms=terms_of(session, row), origin=Origin.payment,
        billing=row.billing, started_at=row.created_at, anchor_at=row.anchor_at, ends_at=row.ended_at,
        series=row.series, paid_until=row.paid_until,
    )  # fmt: skip


def terms_of(session: Session, row: BilledSubscription) -> Plan:
    """The plan as it was sold to this subscriber."""
    stored = session.execute(select(PlanVersion.digest).where(PlanVersion.id == row.plan_version_id)).scalar_one()
    return catalog.terms(session, plan_version_id=row.plan_version_id, digest=stored)
