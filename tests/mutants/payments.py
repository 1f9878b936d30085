"""The guards of payments. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECEIVING, RETURNING, BILLING, INVOICING, INBOX, TOP_UPS, REFUNDING, CHECKOUTS = (
    f"models/payments/{name}.py"
    for name in ("receiving", "returning", "billing", "invoicing", "inbox", "top_ups", "refunding", "checkouts")
)
TASKS, WEBHOOKS, GATEWAY = "tasks/payments.py", "web/webhooks.py", "worker/payments/stripe_gateway.py"

OF_PACKS = "tests/payments/test_packs_paid.py -k sqlite"
OF_RETURNS = "tests/payments/test_money_returned.py -k sqlite"
OF_PLANS = "tests/payments/test_plans_paid.py -k sqlite"
OF_TOP_UPS = "tests/payments/test_top_ups.py -k 'sqlite or many'"
OF_DOOR = "tests/payments/test_front_door.py -k sqlite"
OF_SIGNATURES = "tests/payments/test_signatures.py -k sqlite"
OF_FAULTS = "tests/payments/gateways/test_faults.py"

PAYMENTS = [
    Mutant(
        "a page that is complete need not be paid", RECEIVING,
        "if fact.status is PageStatus.complete and fact.paid:", "if fact.status is PageStatus.complete:", OF_PACKS,
    ),
    Mutant(
        "what is sold is what it was when the checkout began", RECEIVING,
        "checkouts.sold_pack(checkout)",
        "__import__('models').catalog.current(session).packs[checkout.pack or '']", OF_PACKS,
    ),
    Mutant(
        "a decline after the money changes nothing", RECEIVING,
        "still = case((Payment.state == PaymentState.succeeded, Payment.state), else_=state)", "still = state",
        OF_PACKS,
    ),
    Mutant(
        "a key comes with one wish", CHECKOUTS,
        "    if earlier.request_hash != wanted.digest():\n", "    if False:\n", OF_PACKS,
    ),
    Mutant(
        "a pack that is not quick has a page", CHECKOUTS,
        "        if wanted.mode is CheckoutMode.intent and not pack.quick:\n", "        if False:\n", OF_PACKS,
    ),
    Mutant(
        "a closing account buys nothing", CHECKOUTS, "    users.lock_open(session, user_id)\n", "",
        "tests/security/test_two_tenants.py -k 'strangers and sqlite'",
    ),
    Mutant(
        "a trial is for who was never billed", CHECKOUTS,
        "if wanted.plan is not None and not _was_billed(session, user_id):", "if wanted.plan is not None:", OF_PLANS,
    ),
    Mutant(
        "a refund takes back once", RETURNING,
        "if fact.status is RefundStatus.succeeded and not answered:", "if fact.status is RefundStatus.succeeded:",
        OF_RETURNS,
    ),
    Mutant(
        "a pending refund takes nothing", RETURNING,
        "if fact.status is RefundStatus.succeeded and not answered:", "if not answered:", OF_RETURNS,
    ),
    Mutant(
        "parts are counted on what has gone so far", RETURNING,
        "gone = min(_money_gone(session, payment) + amount, payment.amount)", "gone = min(amount, payment.amount)",
        OF_RETURNS,
    ),
    Mutant(
        "no more goes than came", RETURNING,
        "gone = min(_money_gone(session, payment) + amount, payment.amount)",
        "gone = _money_gone(session, payment) + amount", OF_RETURNS,
    ),
    Mutant(
        "what has been taken is not taken again", RETURNING,
        "due = issued * gone // payment.amount - _taken_back(session, lot_id)",
        "due = issued * gone // payment.amount", OF_RETURNS,
    ),
    Mutant(
        "only the lots of the payment are touched", RETURNING, "        lots = lots.where(Lot.id.in_(made))\n",
        "        pass\n", OF_RETURNS,
    ),
    Mutant(
        "an inquiry takes nothing", RETURNING,
        "if fact.status in (DisputeStatus.open, DisputeStatus.lost) and not answered:", "if not answered:", OF_RETURNS,
    ),
    Mutant(
        "a won dispute restores once", RETURNING,
        "elif fact.status is DisputeStatus.won and answered and not restored:",
        "elif fact.status is DisputeStatus.won and answered and False:", OF_RETURNS,
    ),
    Mutant(
        "of an upgrade the difference alone is taken back", RETURNING,
        "    if invoice.proration:\n", "    if False:\n", OF_PLANS,
    ),
    Mutant(
        "a second subscription is undone", BILLING,
        "going_on(session, user_id=user_id) is not None or not users", "not users", OF_PLANS,
    ),
    Mutant(
        "a downgrade waits", BILLING,
        "if not new_period and not is_more(old, row.billing, new, fact.billing):", "if False:", OF_PLANS,
    ),
    Mutant(
        "an upgrade counts what was given before", BILLING,
        "instead_of=None if new_period else old", "instead_of=None", OF_PLANS,
    ),
    Mutant(
        "a plan that is not paid ends after its grace", BILLING,
        "row.past_due_since + GRACE if row.past_due_since else None", "None", OF_PLANS,
    ),
    Mutant("what has ended stays ended", BILLING, "    if row.ended_at is not None:\n", "    if False:\n", OF_PLANS),
    Mutant(
        "nothing is given for what nobody paid", INVOICING, "    if fact.status is InvoiceStatus.paid:\n",
        "    if fact.status is not None:\n", OF_PLANS,
    ),
    Mutant(
        "what was paid for is not shortened", INVOICING, "if ends is None or ends <= row.paid_until:",
        "if ends is None:", OF_PLANS,
    ),
    Mutant(
        "an event is stored once", INBOX,
        "    if new is None:\n        return False\n", "", OF_DOOR,
    ),
    Mutant(
        "what nobody knows yet is put off", TASKS,
        "        elif _follow_all(session, facts):\n", "        elif _follow_all(session, facts) or True:\n", OF_DOOR,
    ),
    Mutant(
        "an event that breaks is put off", TASKS,
        '            inbox.put_off(session, event_id, trouble="internal_error")\n', "            pass\n", OF_DOOR,
    ),
    Mutant(
        "the cap is kept", TOP_UPS,
        "    if spent(session, user_id=user_id) + sold.price.amount > mine.monthly_cap:\n", "    if False:\n",
        OF_TOP_UPS,
    ),
    Mutant(
        "one is bought at a time", TOP_UPS, "mine is None or not _is_over(session, mine):",
        "mine is None or (_is_over(session, mine) and False):", OF_TOP_UPS,
    ),
    Mutant(
        "a declined card rests", TOP_UPS,
        'else {"paused_until": now(pause)}', 'else {"paused_until": None}', OF_TOP_UPS,
    ),
    Mutant(
        "a declined card is left alone in the end", TOP_UPS,
        "if mine.declines >= MOST_DECLINES else", "if False else", OF_TOP_UPS,
    ),
    Mutant(
        "who did not sign is not heard", WEBHOOKS,
        "    check_signature(body, request.headers.get(\"Stripe-Signature\", \"\"), settings().webhook_secret)\n", "",
        OF_SIGNATURES,
    ),
    Mutant(
        "the future signs nothing", WEBHOOKS,
        "    if signed_at > time.time() + TOLERANCE_SECONDS:\n", "    if False:\n", OF_SIGNATURES,
    ),
    Mutant(
        "what is old signs nothing", WEBHOOKS, "header, secret, TOLERANCE_SECONDS)", "header, secret)", OF_SIGNATURES,
    ),
]  # fmt: skip
