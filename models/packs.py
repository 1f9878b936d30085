"""Packs: credits sold once. However a pack was paid for, this is how its credits arrive."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models import emails, ledger, referrals
from models.catalog import Catalog, Pack
from models.database import days_ahead
from models.errors import Fault, InvalidInput
from models.ledger import Source


def find(catalog: Catalog, name: str) -> Pack:
    """The pack of this name. Raises `InvalidInput` naming the field `pack` when there is none."""
    if name not in catalog.packs:
        known = ", ".join(catalog.packs) or "none"
        raise InvalidInput(Fault("pack", f"there is no such pack; this product has {known}"))
    return catalog.packs[name]


def fulfil(
    session: Session, catalog: Catalog, *, user_id: UUID, pack: str, ref: str, reference: str | None = None
) -> None:
    """Give a user the credits of a pack that was paid for, and its bonus, each as a lot of its own, and a receipt.

    `ref` names the payment: the same one is fulfilled once. `reference` is what the buyer knows it by, if that is
    something else. Whoever brought the user is rewarded, where the catalog rewards the first purchase. Locks as
    `referrals.reward`, then the wallets of the pack, in order of their ids. Raises `InvalidInput` naming `pack`.
    """
    sold = find(catalog, pack)
    referrals.reward(session, catalog, user_id=user_id, on="purchase")
    expires_at = days_ahead(session, sold.expires_days)
    kinds = sorted({*sold.credits, *sold.bonus})
    wallets = {ledger.open_wallet(session, user_id=user_id, kind=kind): kind for kind in kinds}
    for wallet_id, kind in sorted(wallets.items()):
        for amount, source, title, suffix in (
            (sold.credits.get(kind), Source.purchase, sold.title, ""),
            # A gift on top is used up before what was bought.
            (sold.bonus.get(kind), Source.promo, f"{sold.title}: bonus", ":bonus"),
        ):
            if amount:
                ledger.grant(
                    session,
                    wallet_id=wallet_id,
                    amount=amount,
                    source=source,
                    ref=f"{ref}:{kind}{suffix}",
                    expires_at=expires_at,
                    details={"title": title, "pack": pack},
                )
    emails.stage(
        session,
        key=f"receipt:{ref}",
        template="receipt",
        user_id=user_id,
        title=sold.title,
        credits=sold.credits,
        bonus=sold.bonus,
        price=sold.price.model_dump(),
        reference=reference or ref,
    )
