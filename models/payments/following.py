"""Following: each kind of fact has one verb that brings our rows in line with it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from models.payments import billing, invoicing, receiving, returning
from models.payments.facts import DisputeFact, Fact, IntentFact, InvoiceFact, PageFact, RefundFact, SubscriptionFact


def follow(session: Session, fact: Fact) -> bool:
    """Bring our rows in line with a fact, and say whether it is about anything of ours.

    In any order, any number of times: what counts is what the gateway has now. Locks as the verb of its kind.
    """
    match fact:
        case PageFact():
            return receiving.follow_page(session, fact)
        case IntentFact():
            return receiving.follow_intent(session, fact)
        case InvoiceFact():
            return invoicing.follow_invoice(session, fact)
        case SubscriptionFact():
            return billing.follow_subscription(session, fact)
        case RefundFact():
            return returning.follow_refund(session, fact)
        case DisputeFact():
            return returning.follow_dispute(session, fact)
