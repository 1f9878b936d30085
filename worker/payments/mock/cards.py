"""Test cards: the numbers that Stripe publishes for trying things out, and what becomes of a payment with each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """`refuses` is the decline code of every charge; one that is `attachable` can be saved all the same.

    `authentication` is asked for "always", or only the "first" time, by a customer who is there.
    """

    number: str
    title: str
    refuses: str | None = None
    attachable: bool = True
    authentication: str = "never"
    disputed: bool = False
    brand: str = "visa"

    @property
    def last4(self) -> str:
        return self.number[-4:]


GOOD = "4242424242424242"
DECLINED = "4000000000000002"
INSUFFICIENT_FUNDS = "4000000000009995"
EXPIRED = "4000000000000069"
FAILS_LATER = "4000000000000341"
AUTHENTICATE_ONCE = "4000002500003155"
AUTHENTICATE_ALWAYS = "4000002760003184"
DISPUTED = "4000000000000259"

CARDS = {
    card.number: card
    for card in (
        Card(GOOD, "works"),
        Card("5555555555554444", "works too", brand="mastercard"),
        Card(DECLINED, "is declined", refuses="generic_decline", attachable=False),
        Card(INSUFFICIENT_FUNDS, "has insufficient funds", refuses="insufficient_funds", attachable=False),
        Card(EXPIRED, "has expired", refuses="expired_card", attachable=False),
        Card(FAILS_LATER, "can be saved, but every charge fails", refuses="generic_decline"),
        Card(AUTHENTICATE_ONCE, "needs authentication (3-D Secure) the first time", authentication="first"),
        Card(AUTHENTICATE_ALWAYS, "needs authentication (3-D Secure) always", authentication="always"),
        Card(DISPUTED, "works, and the payment is disputed at once", disputed=True),
    )
}
"""By number, in the order in which the page offers them."""

CODES = {"expired_card": "expired_card", "authentication_required": "authentication_required"}
"""The error's `code` where it is more than `card_declined`."""
