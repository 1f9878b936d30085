"""Wallets: the caller's credits of every kind, and what became of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import ledger, plans
from models.api_keys import Scope
from models.catalog import WalletKind
from models.database import readings, sessions
from models.ledger import Balance, Overview, Source
from web import tokens
from web.problems import Problem
from web.shelf import shelf
from web.times import render_time

api = APIBlueprint(
    "wallets", __name__, url_prefix="/v1", abp_tags=[{"name": "credits"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))

EMPTY = Balance(available=0, held=0, debt=0)


class WalletUsageView(BaseModel):
    bought: int
    granted: int = Field(description="Credits that were given and not sold: sign-up, allowances, promotions.")
    spent: int
    refunded: int = Field(description="Credits that jobs held and gave back.")
    expired: int
    clawed_back: int = Field(description="Credits that went when the money for them went back.")


class ExpiringView(BaseModel):
    amount: int
    expires_at: str
    source: Source


class WalletView(BaseModel):
    kind: str
    title: str
    available: int = Field(description="Credits that can be used now.")
    held: int = Field(description="Credits reserved by unfinished jobs.")
    debt: int = Field(description="Credits that refunds took back after they were spent; the next ones pay it first.")
    low: bool = Field(description="Whether `available` is below `low_balance`.")
    low_balance: int | None
    usage: WalletUsageView
    expiring: list[ExpiringView] = Field(description="What expires soon, soonest first.")
    resets_at: str | None = Field(description="When the next allowance comes.")


class WalletList(BaseModel):
    wallets: list[WalletView]


def owned(user_id: UUID) -> dict[str, Balance]:
    """What the user has, by kind of wallet, once the allowances that are due are granted."""
    with readings() as session:
        balances = ledger.balances(session, user_id=user_id)
    if not any(balance.resets for balance in balances.values()):
        return balances
    with sessions() as session:
        plans.grant_due(session, user_id=user_id)
    with readings() as session:
        return ledger.balances(session, user_id=user_id)


@api.get("/wallets", responses={200: WalletList, 401: Problem})
def list_wallets() -> dict[str, Any]:
    """My credits of every kind: what I have, what became of the rest, and what expires soon."""
    user_id = tokens.current_user_id()
    balances = owned(user_id)
    with readings() as session:
        sold = shelf.catalog(session).wallets
        # A kind that is no longer sold is still its owner's, under the name it had.
        kinds = {**sold, **{kind: WalletKind(title=kind) for kind in balances if kind not in sold}}
        overviews = ledger.overviews(
            session, user_id=user_id, notice_days={kind: wallet.notice_days for kind, wallet in kinds.items()}
        )
    return {
        "wallets": [
            _render(kind, wallet, balances.get(kind, EMPTY), overviews.get(kind, Overview()))
            for kind, wallet in kinds.items()
        ]
    }


def _render(kind: str, wallet: WalletKind, balance: Balance, overview: Overview) -> dict[str, Any]:
    usage = overview.usage
    return {
        "kind": kind,
        "title": wallet.title,
        "available": balance.available,
        "held": balance.held,
        "debt": balance.debt,
        "low": wallet.low_balance is not None and balance.available < wallet.low_balance,
        "low_balance": wallet.low_balance,
        "usage": {
            "bought": usage.bought,
            "granted": usage.granted,
            "spent": usage.spent,
            "refunded": usage.refunded,
            "expired": usage.expired,
            "clawed_back": usage.clawed_back,
        },
        "expiring": [
            {"amount": lot.amount, "expires_at": render_time(lot.expires_at), "source": lot.source}
            for lot in overview.expiring
        ],
        "resets_at": render_time(overview.resets_at),
    }
