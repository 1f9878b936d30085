"""Packs: credits sold once. However a pack was paid for, this is how its credits arrive."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models import catalog, emails, ledger, referrals
from models.catalog import Catalog, Money, Pack
from models.database import days_ahead
from models.errors import Fault, InvalidInput
from models.ledger import Source


def find(sold: Catalog, name: str) -> Pack:
    """The pack of this name. Raises `InvalidInput` naming the field `pack` when there is none."""
    if name not in sold.packs:
        known = ", ".join(sold.packs) or "none"
        raise InvalidInput(Fault("pack", f"there is no such pack; this product has {known}"))
    return sold.packs[name]


def contents(sold: Pack) -> dict[str, int]:
    """What a pack has in all, bonus included, by wallet."""
    return {kind: sold.credits.get(kind, 0) + sold.bonus.get(kind, 0) for kind in {**sold.credits, **sold.bonus}}


def fulfil(
    session: Session, on_sale: Catalog, *, user_id: UUID, pack: str, ref: str, reference: str | None = None
) -> None:
    """`give` a pack as it is sold now. Raises `InvalidInput` naming `pack`."""
    give(session, user_id=user_id, pack=pack, sold=find(on_sale, pack), ref=ref, reference=reference)


def give(
    session: Session,
    *,
    user_id: UUID,
    pack: str,
    sold: Pack,
    ref: str,
    reference: str | None = None,
    paid: Money | None = None,
) -> list[int]:
    """Give a user the credits of a pack that was paid for, and its bonus, each as a lot of its own, and a receipt.

    Returns the lots. `ref` names the payment: the same one is fulfilled once. `reference` is what the buyer knows it
    by, and `paid` what was paid, where that is something else. Whoever brought the user is rewarded, where the catalog
    rewards the first purchase. Locks as `referrals.reward`, then the wallets of the pack, in order of their ids.
    """
    referrals.reward(session, catalog.current(session), user_id=user_id, on="purchase")
    expires_at = days_ahead(session, sold.expires_days)
    wallets = {ledger.open_wallet(session, user_id=user_id, kind=kind): kind for kind in sorted(contents(sold))}
    lots = []
    for wallet_id, kind in sorted(wallets.items()):
        for amount, source, title, suffix in (
            (sold.credits.get(kind), Source.purchase, sold.title, ""),
            # A gift on top is used up before what was bought.
            (sold.bonus.get(kind), Source.promo, f"{sold.title}: bonus", ":bonus"),
        ):
            if amount:
                lot = ledger.grant(
                    session,
                    wallet_id=wallet_id,
                    amount=amount,
                    source=source,
                    ref=f"{ref}:{kind}{suffix}",
                    expires_at=expires_at,
                    details={"title": title, "pack": pack},
                )
                lots.append(lot)
    emails.stage(
        session,
        key=f"receipt:{ref}",
        template="receipt",
        user_id=user_id,
        title=sold.title,
        credits=sold.credits,
        bonus=sold.bonus,
        price=(paid or sold.price).model_dump(),
        reference=reference or ref,
    )
    return lots
