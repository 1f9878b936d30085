"""The bank: what becomes of a payment by its card; refunds, disputes."""

from __future__ import annotations

from typing import Any

from worker.payments.gateway import Refused
from worker.payments.mock.cards import CARDS, CODES, Card
from worker.payments.mock.till import Object, Till

ACTION = "requires_action"
UNAUTHENTICATED = "Your bank could not make sure that it is you."
OPEN = ("requires_payment_method", "requires_confirmation", ACTION)
"""A payment in one of these states waits for its customer."""


def new_intent(
    till: Till, *, customer: str, amount: int, currency: str, description: str, metadata: dict[str, Any] | None = None
) -> Object:
    """A payment that nobody has tried yet."""
    made = till.new(
        "payment_intent", "pi", customer=customer, amount=amount, amount_received=0, currency=currency,
        description=description, metadata=metadata or {}, status="requires_payment_method", latest_charge=None,
        last_payment_error=None, next_action=None, payment_method=None, canceled_at=None,
        automatic_payment_methods={"enabled": True}, payment_method_types=["card"], capture_method="automatic_async",
    )  # fmt: skip
    made["client_secret"] = f"{made['id']}_secret_{made['id'][-12:][::-1]}"
    return made


def new_card(till: Till, number: str) -> Object:
    """A card that somebody typed in. Raises `Refused`."""
    if number not in CARDS:
        raise Refused("incorrect_number", "This is none of the test cards.")
    card = CARDS[number]
    return till.new(
        "payment_method", "pm", type="card", customer=None,
        card={"brand": card.brand, "last4": card.last4, "exp_month": 12, "exp_year": 2040, "funding": "credit"},
        _number=number, _set_up=False,
    )  # fmt: skip


def save(till: Till, method: Object, customer: str) -> bool:
    """Keep a card with its customer for later, and say whether it can be."""
    if not card_of(method).attachable:
        return False
    method["customer"] = customer
    method["_set_up"] = True
    return True


def card_of(method: Object) -> Card:
    return CARDS[method["_number"]]


def charge(till: Till, intent: Object, method: Object, *, present: bool, authenticated: bool = False) -> bool:
    """Try to take the money, and say whether it has come. `present` is whether the customer is there to act.

    If not, the intent says why: it waits for authentication, or has an error.
    """
    card = card_of(method)
    asks = card.authentication == "always" or (card.authentication == "first" and not method["_set_up"])
    intent["payment_method"] = method["id"]
    intent["next_action"] = None
    if asks and present and not authenticated:
        intent["status"] = ACTION
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        till.tell("payment_intent.requires_action", intent)
        return False
    refusal = card.refuses or ("authentication_required" if asks and not authenticated else None)
    made = till.new(
        "charge", "ch", customer=intent["customer"], payment_intent=intent["id"], payment_method=method["id"],
        amount=intent["amount"], amount_refunded=0, currency=intent["currency"], description=intent["description"],
        metadata=intent["metadata"], paid=not refusal, captured=not refusal, refunded=False, disputed=False,
        status="failed" if refusal else "succeeded", failure_code=CODES.get(refusal or "", "card_declined")
        if refusal else None, payment_method_details={"type": "card", "card": method["card"]}, receipt_url=None,
    )  # fmt: skip
    intent["latest_charge"] = made["id"]
    if refusal:
        fail(till, intent, code=CODES.get(refusal, "card_declined"), decline_code=refusal, charge=made["id"])
        till.tell("charge.failed", made)
        return False
    succeed(till, intent, made)
    if card.disputed:
        open_dispute(till, made, amount=made["amount"], reason="fraudulent")
    return True


def succeed(till: Till, intent: Object, made: Object) -> None:
    """The money has come."""
    # Whoever knows the id of a charge was told it by the gateway.
    made["receipt_url"] = f"{till.public_url}/mock-checkout/{made['id']}"
    intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
    till.tell("charge.succeeded", made)
    till.tell("payment_intent.succeeded", intent)


def fail(till: Till, intent: Object, *, code: str, decline_code: str | None = None, charge: str | None = None) -> None:
    """The money has not come; the customer may try another way."""
    intent.update(
        status="requires_payment_method", payment_method=None, next_action=None,
        last_payment_error={
            "type": "card_error", "code": code, "decline_code": decline_code, "charge": charge,
            "message": UNAUTHENTICATED if "authentication" in (decline_code or code) else "Your card was declined.",
        },
    )  # fmt: skip
    till.tell("payment_intent.payment_failed", intent)


def cancel(till: Till, intent: Object) -> None:
    """Close a payment that has not come."""
    intent.update(status="canceled", canceled_at=till.now, next_action=None)
    till.tell("payment_intent.canceled", intent)


def give_back(till: Till, intent_id: str, amount: int | None = None) -> Object:
    """Refund `amount` of a payment, or all that is left of it. Raises `Refused`."""
    intent = till.take(intent_id)
    if intent["status"] != "succeeded":
        raise Refused("payment_intent_unexpected_state", "There is no payment to give back.")
    paid = till.take(intent["latest_charge"])
    left = paid["amount"] - paid["amount_refunded"]
    amount = left if amount is None else amount
    if paid["refunded"] or paid["disputed"]:
        code = "charge_already_refunded" if paid["refunded"] else "charge_disputed"
        raise Refused(code, "Nothing of this payment can be given back.")
    if not 0 < amount <= left:
        raise Refused("amount_too_large", "More cannot be given back than was paid.")
    paid["amount_refunded"] += amount
    paid["refunded"] = paid["amount_refunded"] == paid["amount"]
    made = till.new(
        "refund", "re", amount=amount, currency=paid["currency"], charge=paid["id"], payment_intent=intent_id,
        status="succeeded", reason=None,
    )  # fmt: skip
    till.tell("refund.created", made)
    till.tell("charge.refunded", paid)
    return made


def open_dispute(
    till: Till, paid: Object, *, amount: int | None = None, reason: str = "fraudulent", inquiry: bool = False
) -> Object:
    """Let the payer's bank take money back, or, by an `inquiry`, only ask about it."""
    made = till.new(
        "dispute", "dp", amount=amount or paid["amount"], currency=paid["currency"], charge=paid["id"],
        payment_intent=paid["payment_intent"], reason=reason, is_charge_refundable=inquiry,
        status="warning_needs_response" if inquiry else "needs_response",
    )  # fmt: skip
    paid["disputed"] = True
    till.tell("charge.dispute.created", made)
    if not inquiry:
        till.tell("charge.dispute.funds_withdrawn", made)
    return made


def close_dispute(till: Till, dispute_id: str, *, won: bool) -> Object:
    """Let the bank decide. Raises `Refused`."""
    found = till.take(dispute_id)
    if found["status"] in ("won", "lost", "warning_closed"):
        raise Refused("dispute_closed", "The bank has decided already.")
    inquiry = found["status"].startswith("warning")
    found["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    till.take(found["charge"])["disputed"] = not (inquiry or won)
    if won and not inquiry:
        till.tell("charge.dispute.funds_reinstated", found)
    till.tell("charge.dispute.closed", found)
    return found
