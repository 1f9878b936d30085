"""Billing: subscriptions with their periods, the invoices they bring, and what becomes of those that are not paid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.catalog import Billing, Money
from models.plans.periods import months_after
from worker.payments.gateway import Refused
from worker.payments.mock import bank
from worker.payments.mock.invoices import line, new_invoice, settle
from worker.payments.mock.till import Object, Till
from worker.payments.shapes import lookup_key

DAY = 86_400
NOTICE_SECONDS = 3 * DAY
"""How long before its end a trial is said to end."""

RETRIES = (3 * DAY, 5 * DAY, 7 * DAY)
"""The pauses after which a failed renewal is tried again; then the subscription ends."""

MONTHS = {"month": 1, "year": 12}
OVER = ("canceled", "incomplete_expired")


def price_of(till: Till, *, plan: str, billing: Billing, price: Money, title: str) -> Object:
    """The price of a plan; made the first time."""
    key = lookup_key(plan=plan, billing=billing, amount=price.amount, currency=price.currency)
    for known in till.where("price", lookup_key=key):
        return till.take(known["id"])
    return till.new(
        "price", "price", lookup_key=key, active=True, currency=price.currency.lower(), unit_amount=price.amount,
        metadata={"plan": plan, "billing": str(billing)}, nickname=title, product=f"prod_mock_{plan}",
        recurring={"interval": "year" if billing is Billing.yearly else "month", "interval_count": 1},
        type="recurring",
    )  # fmt: skip


def start(
    till: Till, *, customer: str, price: Object, method: Object, checkout_id: str, trial_days: int | None,
    paid_by: Object | None,
) -> Object:  # fmt: skip
    """Begin a subscription: with a trial, or paid by the first payment."""
    made = till.new(
        "subscription", "sub", customer=customer, status="trialing" if trial_days else "active",
        currency=price["currency"], default_payment_method=method["id"], metadata={"checkout_id": checkout_id},
        cancel_at=None, cancel_at_period_end=False, canceled_at=None, ended_at=None, start_date=till.now,
        billing_cycle_anchor=till.now, trial_start=None, trial_end=None, latest_invoice=None, schedule=None,
        items={"object": "list", "data": [], "has_more": False}, collection_method="charge_automatically",
        _told_of_end=False,
    )  # fmt: skip
    item = {
        "id": made["id"].replace("sub_", "si_", 1), "object": "subscription_item", "subscription": made["id"],
        "created": till.now, "quantity": 1, "price": price, "current_period_start": till.now,
        "current_period_end": till.now, "metadata": {},
    }  # fmt: skip
    made["items"]["data"].append(item)
    if trial_days:
        ends = till.now + trial_days * DAY
        made.update(trial_start=till.now, trial_end=ends, billing_cycle_anchor=ends)
        item["current_period_end"] = ends
    else:
        item["current_period_end"] = _period_end(made, item)
    amount, ends = 0 if trial_days else price["unit_amount"], item["current_period_end"]
    first = new_invoice(
        till, made, reason="subscription_create", intent=paid_by,
        lines=[line(made, item, price, amount, till.now, ends)],
    )  # fmt: skip
    made["latest_invoice"] = first["id"]
    till.tell("customer.subscription.created", made)
    if paid_by is not None:
        settle(till, first)
    _wait(made)
    return made


def item_of(found: Object) -> Object:
    item: Object = found["items"]["data"][0]
    return item


def time_passed(till: Till, subscription_id: str) -> None:
    """Do what is due about a subscription by now: tell of the end of a trial, begin the next period, or end it."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        return
    item = item_of(found)
    if item["current_period_end"] > till.now:
        if found["status"] == "trialing" and not found["_told_of_end"] and _tells_at(found) <= till.now:
            found["_told_of_end"] = True
            till.tell("customer.subscription.trial_will_end", found)
        _wait(found)
        return
    if found["cancel_at_period_end"]:
        end(till, found)
        return
    _renew(till, found, item)


def end_period(till: Till, subscription_id: str) -> None:
    """Let the present period of a subscription end now, long before its time, and do what is due then."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        raise Refused("resource_missing", "This subscription is over.")
    item = item_of(found)
    item["current_period_end"] = till.now
    found["billing_cycle_anchor"] = till.now
    if found["status"] == "trialing":
        found["trial_end"] = till.now
    time_passed(till, subscription_id)


def change(till: Till, subscription_id: str, price: Object) -> str | None:
    """Bill another price from now on, and the difference at once; the code of the decline if that was refused."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        raise Refused("resource_missing", "This subscription is over.")
    item = item_of(found)
    release(till, found)
    before = item["price"]
    if before["id"] == price["id"]:
        return None
    if found["status"] != "trialing" and (declined := _bill_difference(till, found, item, before, price)):
        till.undo()
        return declined
    item["price"] = price
    _wait(found)
    till.tell("customer.subscription.updated", found)
    return None


def schedule(till: Till, subscription_id: str, price: Object) -> None:
    """Bill another price from the next period on."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        raise Refused("resource_missing", "This subscription is over.")
    item = item_of(found)
    release(till, found)
    if item["price"]["id"] != price["id"]:
        begins, ends = item["current_period_start"], item["current_period_end"]
        made = till.new(
            "subscription_schedule", "sub_sched", customer=found["customer"], subscription=found["id"],
            status="active", end_behavior="release", current_phase={"start_date": begins, "end_date": ends},
            phases=[
                {"start_date": begins, "end_date": ends, "items": [{"price": item["price"]["id"], "quantity": 1}]},
                {"start_date": ends, "end_date": None, "items": [{"price": price["id"], "quantity": 1}]},
            ],
        )  # fmt: skip
        found.update(schedule=made["id"], cancel_at_period_end=False, cancel_at=None)
    till.tell("customer.subscription.updated", found)


def release(till: Till, found: Object) -> None:
    """Forget what was to follow."""
    if found["schedule"]:
        till.take(found["schedule"])["status"] = "released"
        found["schedule"] = None


def stop(till: Till, subscription_id: str, *, at_period_end: bool) -> None:
    """End a subscription, now or with its period. One that is over stays as it is."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        return
    if not at_period_end:
        end(till, found)
        return
    release(till, found)
    found.update(cancel_at_period_end=True, cancel_at=item_of(found)["current_period_end"], canceled_at=till.now)
    till.tell("customer.subscription.updated", found)


def resume(till: Till, subscription_id: str) -> None:
    """Take back a cancellation. Raises `Refused` when it is too late."""
    found = till.take(subscription_id)
    if found["status"] in OVER:
        raise Refused("resource_missing", "This subscription is over.")
    found.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    till.tell("customer.subscription.updated", found)


def end(till: Till, found: Object) -> None:
    """The subscription is over; an invoice that is still open will not be tried again."""
    release(till, found)
    found.update(status="canceled", ended_at=till.now, canceled_at=found["canceled_at"] or till.now, _due=None)
    if found["latest_invoice"]:
        latest = till.take(found["latest_invoice"])
        latest.update(next_payment_attempt=None, _due=None)
    till.tell("customer.subscription.deleted", found)


def pay(till: Till, invoice_id: str, *, present: bool) -> bool:
    """Try an open invoice once more with the saved card, and say whether it is paid now. Raises `Refused`."""
    subscription_id = till.look(invoice_id)["parent"]["subscription_details"]["subscription"]
    found = till.take(subscription_id)
    owed = till.take(invoice_id)
    if owed["status"] != "open":
        raise Refused("invoice_not_open", "This invoice is not open.")
    _try(till, found, owed, present=present)
    return bool(owed["status"] == "paid")


def retry(till: Till, invoice_id: str) -> None:
    """Try an invoice again whose time has come."""
    found = till.take(till.look(invoice_id)["parent"]["subscription_details"]["subscription"])
    owed = till.take(invoice_id)
    if found["status"] in OVER:
        owed.update(next_payment_attempt=None, _due=None)
    elif owed["status"] == "open" and owed["next_payment_attempt"] and owed["next_payment_attempt"] <= till.now:
        _try(till, found, owed, present=False)


def retry_now(till: Till, invoice_id: str) -> None:
    """Let the next attempt at an open invoice come now, long before its time. Raises `Refused` when none is to come."""
    till.take(till.look(invoice_id)["parent"]["subscription_details"]["subscription"])
    owed = till.take(invoice_id)
    if owed["status"] != "open" or not owed["next_payment_attempt"]:
        raise Refused("invoice_not_open", "This invoice will not be tried again.")
    owed["next_payment_attempt"] = till.now
    retry(till, invoice_id)


def _renew(till: Till, found: Object, item: Object) -> None:
    was_trial = found["status"] == "trialing"
    if found["schedule"]:
        _next_phase(till, found, item)
    begins = item["current_period_end"]
    if was_trial:
        found["billing_cycle_anchor"] = begins
    item["current_period_start"] = begins
    item["current_period_end"] = _period_end(found, item)
    price = item["price"]
    lines = [line(found, item, price, price["unit_amount"], begins, item["current_period_end"])]
    owed = new_invoice(till, found, reason="subscription_cycle", lines=lines)
    found["latest_invoice"] = owed["id"]
    _wait(found)
    _try(till, found, owed, present=False)
    if owed["status"] == "paid":
        till.tell("customer.subscription.updated", found)


def _next_phase(till: Till, found: Object, item: Object) -> None:
    """A schedule goes on to its second phase, and is over when that has begun."""
    plan = till.take(found["schedule"])
    following = plan["phases"][1]
    changed = till.take(following["items"][0]["price"])
    if changed["recurring"] != item["price"]["recurring"]:
        found["billing_cycle_anchor"] = item["current_period_end"]
    item["price"] = changed
    release(till, found)


def _try(till: Till, found: Object, owed: Object, *, present: bool) -> None:
    """Take the money of an invoice from the saved card; without it the subscription is past due, and in the end over.

    A customer who is there authenticates, and does not use up an attempt.
    """
    intent = till.take(owed["payments"]["data"][0]["payment"]["payment_intent"])
    method = till.take(found["default_payment_method"])
    if bank.charge(till, intent, method, present=present, authenticated=present):
        settle(till, owed)
        if found["status"] not in ("active", *OVER):
            found["status"] = "active"
            till.tell("customer.subscription.updated", found)
        return
    if present:
        return
    owed.update(attempted=True, attempt_count=owed["attempt_count"] + 1)
    pause = RETRIES[owed["attempt_count"] - 1] if owed["attempt_count"] <= len(RETRIES) else None
    owed["next_payment_attempt"] = owed["_due"] = till.now + pause if pause else None
    till.tell("invoice.payment_failed", owed)
    if pause is None:
        end(till, found)
    elif found["status"] != "past_due":
        found["status"] = "past_due"
        till.tell("customer.subscription.updated", found)


def _bill_difference(till: Till, found: Object, item: Object, before: Object, after: Object) -> str | None:
    """Charge what the rest of the period costs more; the code of the decline if the card says no.

    Where the new price is billed in another rhythm, a new period begins now. What the customer would get back is not
    carried over to later invoices, as Stripe does: such a change is not asked for with the difference.
    """
    ends, begins = item["current_period_end"], item["current_period_start"]
    share = max(ends - till.now, 0) / max(ends - begins, 1)
    unused = -round(before["unit_amount"] * share)
    lines = [line(found, item, before, unused, till.now, ends, proration=True)]
    anew = before["recurring"] != after["recurring"]
    if anew:
        found["billing_cycle_anchor"] = till.now
        item.update(price=after, current_period_start=till.now)
        item["current_period_end"] = _period_end(found, item)
        lines.append(line(found, item, after, after["unit_amount"], till.now, item["current_period_end"]))
    else:
        rest = round(after["unit_amount"] * share)
        lines.append(line(found, item, after, rest, till.now, ends, proration=True))
    owed = new_invoice(till, found, reason="subscription_update", lines=lines)
    found["latest_invoice"] = owed["id"]
    if owed["status"] == "paid":
        return None
    intent = till.take(owed["payments"]["data"][0]["payment"]["payment_intent"])
    if bank.charge(till, intent, till.take(found["default_payment_method"]), present=False):
        settle(till, owed)
        return None
    error: dict[str, Any] = intent["last_payment_error"]
    return str(error["decline_code"])


def _period_end(found: Object, item: Object) -> int:
    """When the period ends that begins where this one of the item does: months are counted from the anchor."""
    anchor = datetime.fromtimestamp(found["billing_cycle_anchor"], UTC)
    step = MONTHS[item["price"]["recurring"]["interval"]]
    months = step
    while int(months_after(anchor, months).timestamp()) <= item["current_period_start"]:
        months += step
    return int(months_after(anchor, months).timestamp())


def _tells_at(found: Object) -> int:
    return int(found["trial_end"]) - NOTICE_SECONDS


def _wait(found: Object) -> None:
    """Note when something is next to be done about a subscription."""
    tells = found["status"] == "trialing" and not found["_told_of_end"]
    found["_due"] = _tells_at(found) if tells else item_of(found)["current_period_end"]
