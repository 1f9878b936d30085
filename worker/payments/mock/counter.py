"""The counter: what customers do at the mock gateway's pages, and what time does to those that nobody comes back to."""

from __future__ import annotations

from worker.payments.gateway import Refused
from worker.payments.mock import bank, billing
from worker.payments.mock.cards import AUTHENTICATE_ALWAYS, DECLINED
from worker.payments.mock.till import Object, Till

PAGE = "checkout.session"


def pay(till: Till, object_id: str, number: str, *, authenticated: bool = False) -> bool:
    """Pay a page or an intent with a test card, and say whether that went through. Raises `Refused`.

    If not, it is still open: it waits for authentication, or says why the card was declined.
    """
    found = _open(till, object_id)
    method = _card(till, found, number, authenticated=authenticated)
    if found["object"] == PAGE and found["_trial_days"]:
        return _start_trial(till, found, method)
    intent = _intent(till, found)
    if not bank.charge(till, intent, method, present=True, authenticated=authenticated):
        found["_card"] = method["id"]
        return False
    # A customer who pays on a page is told that the card is kept.
    bank.save(till, method, found["customer"])
    if found["object"] == PAGE:
        _complete(till, found, intent, method)
    return True


def decline(till: Till, object_id: str) -> bool:
    """Try to pay with a card that is declined."""
    return pay(till, object_id, DECLINED)


def require_authentication(till: Till, object_id: str) -> bool:
    """Try to pay with a card whose bank wants to hear from the customer first."""
    return pay(till, object_id, AUTHENTICATE_ALWAYS)


def authenticate(till: Till, object_id: str, *, succeed: bool) -> bool:
    """Answer the bank that asked for authentication, and say whether the payment went through. Raises `Refused`."""
    found = _open(till, object_id)
    intent = _intent(till, found)
    if intent["status"] != bank.ACTION:
        raise Refused("payment_intent_unexpected_state", "Nobody has asked for authentication.")
    if succeed:
        return pay(till, object_id, till.take(found["_card"])["_number"], authenticated=True)
    bank.fail(till, intent, code="payment_intent_authentication_failure")
    return False


def pay_later(till: Till, object_id: str) -> None:
    """Pay a page by a debit that takes days; `arrive` or `bounce` is what becomes of it. Raises `Refused`."""
    found = _open(till, object_id)
    if found["object"] != PAGE or found["mode"] != "payment":
        raise Refused("payment_method_unsupported", "Only packs on a page can be paid by debit here.")
    intent = _intent(till, found)
    intent.update(status="processing", payment_method_types=["sepa_debit"])
    found.update(status="complete", payment_intent=intent["id"], _due=None)
    till.tell("payment_intent.processing", intent)
    till.tell("checkout.session.completed", found)


def arrive(till: Till, object_id: str) -> None:
    """Let the money of a debit come. Raises `Refused`."""
    found, intent = _delayed(till, object_id)
    made = till.new(
        "charge", "ch", customer=found["customer"], payment_intent=intent["id"], amount=intent["amount"],
        amount_refunded=0, currency=intent["currency"], description=intent["description"], paid=True, captured=True,
        metadata=intent["metadata"], refunded=False, disputed=False, status="succeeded", receipt_url=None,
        payment_method_details={"type": "sepa_debit"},
    )  # fmt: skip
    intent["latest_charge"] = made["id"]
    found["payment_status"] = "paid"
    bank.succeed(till, intent, made)
    till.tell("checkout.session.async_payment_succeeded", found)


def bounce(till: Till, object_id: str) -> None:
    """Let a debit come to nothing. Raises `Refused`."""
    found, intent = _delayed(till, object_id)
    bank.fail(till, intent, code="payment_method_provider_decline")
    till.tell("checkout.session.async_payment_failed", found)


def expire(till: Till, object_id: str) -> None:
    """Close a page or an intent that nobody will pay any more. Raises `Refused` when it is paid, or closed already."""
    found = _open(till, object_id)
    if found["object"] != PAGE:
        bank.cancel(till, found)
        return
    if found["_intent"]:
        bank.cancel(till, till.take(found["_intent"]))
    found.update(status="expired", url=None, _due=None)
    till.tell("checkout.session.expired", found)


def time_passed(till: Till, page_id: str) -> None:
    """Expire a page whose time is over."""
    found = till.take(page_id)
    if found["status"] == "open" and found["expires_at"] <= till.now:
        expire(till, page_id)
    found["_due"] = None if found["status"] != "open" else found["expires_at"]


def choose_card(till: Till, customer_id: str, number: str) -> bool:
    """Make a card the one that a customer pays with from now on, and say whether it could be saved."""
    method = bank.new_card(till, number)
    if not bank.save(till, method, customer_id):
        return False
    for each in till.where("subscription", customer=customer_id):
        if each["status"] not in billing.OVER:
            till.take(each["id"])["default_payment_method"] = method["id"]
    till.take(customer_id)["invoice_settings"] = {"default_payment_method": method["id"]}
    return True


def _open(till: Till, object_id: str) -> Object:
    found = till.take(object_id)
    waits = found["status"] == "open" if found["object"] == PAGE else found["status"] in bank.OPEN
    if found["object"] not in (PAGE, "payment_intent") or not waits:
        raise Refused("payment_intent_unexpected_state", "This is not open any more.")
    return found


def _delayed(till: Till, object_id: str) -> tuple[Object, Object]:
    found = till.take(object_id)
    intent = till.take(found.get("payment_intent") or object_id)
    if found["object"] != PAGE or intent["status"] != "processing":
        raise Refused("payment_intent_unexpected_state", "No money is on its way.")
    return found, intent


def _card(till: Till, found: Object, number: str, *, authenticated: bool) -> Object:
    """The card that was typed in; the one that has been asked about, if this is the answer."""
    return till.take(found["_card"]) if authenticated else bank.new_card(till, number)


def _intent(till: Till, found: Object) -> Object:
    """The payment of a page, made at the first try; or the intent itself."""
    if found["object"] != PAGE:
        return found
    if found["_intent"]:
        return till.take(found["_intent"])
    made = bank.new_intent(
        till, customer=found["customer"], amount=found["amount_total"], currency=found["currency"],
        description=found["_title"], metadata=found["metadata"] if found["mode"] == "payment" else {},
    )  # fmt: skip
    found["_intent"] = made["id"]
    return made


def _complete(till: Till, found: Object, intent: Object, method: Object) -> None:
    found.update(status="complete", payment_status="paid", url=None, _due=None)
    if found["mode"] == "payment":
        found["payment_intent"] = intent["id"]
    else:
        _subscribe(till, found, method, intent)
    till.tell("checkout.session.completed", found)


def _start_trial(till: Till, found: Object, method: Object) -> bool:
    """A trial costs nothing yet; the card is only kept."""
    if not bank.save(till, method, found["customer"]):
        intent = _intent(till, found)
        bank.fail(till, intent, code="card_declined", decline_code=bank.card_of(method).refuses)
        return False
    _subscribe(till, found, method, None)
    found.update(status="complete", payment_status="no_payment_required", url=None, _due=None)
    till.tell("checkout.session.completed", found)
    return True


def _subscribe(till: Till, found: Object, method: Object, paid_by: Object | None) -> None:
    started = billing.start(
        till, customer=found["customer"], price=till.take(found["_price"]), method=method, paid_by=paid_by,
        checkout_id=found["client_reference_id"], trial_days=found["_trial_days"],
    )  # fmt: skip
    found.update(subscription=started["id"], invoice=started["latest_invoice"])
