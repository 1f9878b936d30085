"""The catalog as a document: every table and field a preset may have, and what they mean.

All amounts of credits are whole numbers; all money is in minor units of its currency (cents). What refers to something
else by name (a wallet, a feature, a plan) is checked by `consistency.py` once the document has its shape.
"""

from __future__ import annotations

from datetime import datetime, time
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from models.costs import ModelCost
from models.errors import Fault, InvalidInput
from models.kinds import AnyKind
from models.prices import Addon, Credits, Price

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
PromotionCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{2,39}$")]
Some = Annotated[Credits, Field(ge=1)]
Days = Annotated[int, Field(ge=1, le=3650)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone such as Europe/Berlin") from None
    return name


class Period(StrEnum):
    """How often an allowance comes: each day or week of the product, or each month of the plan."""

    daily = "daily"
    weekly = "weekly"
    cycle = "cycle"


class Billing(StrEnum):
    """How often a plan is paid. A plan that is paid by the year still gives its allowances by the month."""

    monthly = "monthly"
    yearly = "yearly"


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Money(Document):
    """`amount` in minor units (cents) of `currency` (ISO 4217)."""

    amount: Annotated[int, Field(ge=0, le=100_000_000, strict=True)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Rate(Document):
    """At most `uses` per minute, hour or day."""

    uses: Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
    per: Literal["minute", "hour", "day"]

    @property
    def seconds(self) -> int:
        return {"minute": 60, "hour": 3600, "day": 86_400}[self.per]


class WalletKind(Document):
    """One kind of credits of this product. Below `low_balance` the balance counts as low; that credits expire is
    announced `notice_days` ahead."""

    title: str
    low_balance: Credits | None = None
    notice_days: Days = 7


class Action(Document):
    """Something with a price.

    `requires` is the feature a caller's plan must have. `options` are for the kind (`models/kinds.py`). `cancel_charge`
    is how many percent of the price are charged when a running job is canceled after its provider has begun; before
    that nothing is. `charge` is what a completed job is charged for: what was ordered, or what was really made of it
    (`models/settling.py`).
    """

    title: str
    description: str = ""
    kind: AnyKind
    wallet: Name
    price: Price
    addons: Annotated[dict[Name, Addon], Field(max_length=20)] = {}
    requires: Name | None = None
    options: dict[str, Any] = {}
    cancel_charge: Annotated[int, Field(ge=0, le=100)] = 100
    charge: Literal["ordered", "delivered"] = "ordered"


class SignupGrant(Document):
    """Credits every new user gets, once; they expire `expires_days` after they were given, if told."""

    title: str = "Sign-up credits"
    wallet: Name
    amount: Some
    expires_days: Days | None = None


class Signup(Document):
    """`plan` is what a new user has, and what a user falls back to when another plan ends.

    `credits_at` says when the sign-up grants are given: at sign-up, or once the user has verified the address.
    """

    plan: Name | None = None
    credits_at: Literal["signup", "verification"] = "signup"


class Limits(Document):
    """`concurrent_jobs`: unfinished jobs one user may have at once. `spends`: how often one user may spend."""

    concurrent_jobs: Annotated[int, Field(ge=1, le=100_000)] = 20
    spends: Rate = Rate(uses=60, per="minute")


class Reset(Document):
    """When the product's day and week begin: at `at` o'clock in `zone`, the week on `weekday`."""

    at: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "00:00"
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"

    @property
    def time(self) -> time:
        return time.fromisoformat(self.at)


class Pack(Document):
    """Credits sold once, by wallet: `credits` and on top `bonus`. A `quick` pack is also sold without a checkout page.

    The credits expire `expires_days` after the purchase, if given.
    """

    title: str
    description: str = ""
    price: Money
    credits: Annotated[dict[Name, Some], Field(min_length=1)]
    bonus: dict[Name, Some] = {}
    quick: bool = False
    expires_days: Days | None = None


class Allowance(Document):
    """Credits that a plan gives each period. What is left expires at the end of the period, unless `rollover`."""

    wallet: Name
    amount: Some
    period: Period
    rollover: bool = False

    @model_validator(mode="after")
    def _a_day_ends(self) -> Self:
        if self.rollover and self.period is Period.daily:
            raise ValueError("rollover: a daily allowance ends with its day")
        return self


class Unlimited(Document):
    """What is free under a plan, one action or all that is paid from one wallet, up to a rate of fair use."""

    action: Name | None = None
    wallet: Name | None = None
    fair_use: Rate

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.action is None) == (self.wallet is None):
            raise ValueError("expected either `action` or `wallet`")
        return self


class Plan(Document):
    """What a subscriber has. `rank` orders plans: a higher one is an upgrade.

    `limits` are numbers the product counts up to (active companions); one that is absent is no limit. `priority` puts
    the subscriber's jobs in the queue that is served first. A plan without prices is not sold. Who has never paid for
    any plan has the first `trial_days` of this one for nothing, where they are given: at most 730, which is as long as
    Stripe lets a trial be.
    """

    title: str
    description: str = ""
    rank: Annotated[int, Field(ge=0, le=1_000)]
    prices: dict[Billing, Money] = {}
    features: tuple[Name, ...] = ()
    limits: dict[Name, Annotated[int, Field(ge=0, le=1_000_000, strict=True)]] = {}
    allowances: tuple[Allowance, ...] = ()
    unlimited: tuple[Unlimited, ...] = ()
    priority: bool = False
    trial_days: Annotated[int, Field(ge=1, le=730)] | None = None


class Promotion(Document):
    """What a code is good for: credits, a plan for `months`, or both; within a window, for `cap` users at most, each
    once."""

    title: str
    credits: dict[Name, Some] = {}
    expires_days: Days | None = None
    plan: Name | None = None
    months: Annotated[int, Field(ge=1, le=120)] | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    cap: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None

    @model_validator(mode="after")
    def _gives_something(self) -> Self:
        if not self.credits and not self.plan:
            raise ValueError("expected `credits` or `plan`")
        if (self.plan is None) != (self.months is None):
            raise ValueError("months: expected together with `plan`")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("ends_at: expected after `starts_at`")
        return self

    def open_at(self, moment: datetime) -> bool:
        """Whether the code can be redeemed at this moment."""
        return (self.starts_at is None or self.starts_at <= moment) and (self.ends_at is None or moment < self.ends_at)


class Referral(Document):
    """Credits for who brings a new user and for the new user, once the new user has verified the address or bought
    something (`on`). One user is rewarded for `cap` others at most."""

    wallet: Name
    referrer: Some
    referred: Some
    on: Literal["verification", "purchase"] = "purchase"
    cap: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    expires_days: Days | None = None


ModelName = Annotated[str, StringConstraints(pattern=r"^[^\s,=]{1,200}$")]


class Catalog(Document):
    """A whole preset, checked. `costs` is what the models cost us that providers make things with, by their names."""

    name: Name
    title: str
    wallets: Annotated[dict[Name, WalletKind], Field(min_length=1)]
    signup: Signup = Signup()
    signup_grants: tuple[SignupGrant, ...] = ()
    limits: Limits = Limits()
    reset: Reset = Reset()
    actions: dict[Name, Action] = {}
    packs: dict[Name, Pack] = {}
    plans: dict[Name, Plan] = {}
    promotions: dict[PromotionCode, Promotion] = {}
    referral: Referral | None = None
    costs: dict[ModelName, ModelCost] = {}

    def action(self, name: str) -> Action:
        """Raises `InvalidInput` naming the field `action` when there is none of this name."""
        try:
            return self.actions[name]
        except KeyError:
            known = ", ".join(self.actions) or "none"
            raise InvalidInput(Fault("action", f"there is no such action; this product has {known}")) from None
