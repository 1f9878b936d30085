"""Refunds and disputes: credits follow the money back, from the lots that it made, once."""

from __future__ import annotations

from uuid import UUID

import pytest

from models.catalog import Catalog
from models.database import sessions
from models.payments import payments
from models.payments.facts import DisputeStatus, RefundStatus
from models.payments.following import follow
from tests.jobs.work import once
from tests.payments import till

pytestmark = pytest.mark.usefixtures("database")

PRICE = 2499


@pytest.fixture
def buyer() -> UUID:
    """A user who has paid for 150 credits and got 10 on top."""
    return _buyer(till.open_store())


def _buyer(store: Catalog) -> UUID:
    user = till.customer(store)
    till.tell(till.paid_page(till.begin(store, user, pack="pro")))
    return user


def test_a_full_refund_takes_all_of_it_back_once(buyer: UUID) -> None:
    till.tell(till.refunded(PRICE))
    assert till.moves(buyer) == [("grant", 150), ("grant", 10), ("clawback", -150), ("clawback", -10)]
    assert till.balance(buyer) == (0, 0)
    assert _standing(buyer) == ("refunded", PRICE)
    assert till.mail(buyer) == ["receipt", "refund"]
    till.books_are_clean()


def test_refunds_in_parts_add_up_to_the_whole(buyer: UUID) -> None:
    for number, amount in enumerate([1, 833, 833, PRICE - 1667]):
        till.tell(till.refunded(amount, id=f"re_{number}"))
    assert till.balance(buyer) == (0, 0)
    taken = [amount for reason, amount in till.moves(buyer) if reason == "clawback"]
    assert sum(taken) == -160
    assert _standing(buyer) == ("refunded", PRICE)
    till.books_are_clean()


def test_half_of_the_money_takes_half_of_each_lot(buyer: UUID) -> None:
    till.tell(till.refunded(PRICE // 2))
    assert till.moves(buyer)[2:] == [("clawback", -74), ("clawback", -4)], "rounded down, in the user's favour"
    assert _standing(buyer) == ("partially_refunded", PRICE // 2)


def test_what_was_spent_becomes_debt_that_the_next_purchase_pays(buyer: UUID) -> None:
    till.spend(buyer, 100)
    till.tell(till.refunded(PRICE))
    assert till.balance(buyer) == (0, 100)
    store = till.open_store()
    till.tell(till.paid_page(till.begin(store, buyer, pack="pro"), intent="pi_2"))
    assert till.balance(buyer) == (60, 0)
    till.books_are_clean()


def test_a_refund_takes_from_the_lots_of_its_payment_and_no_other(buyer: UUID) -> None:
    store = till.open_store()
    till.tell(till.paid_page(till.begin(store, buyer, pack="pro"), intent="pi_2"))
    till.tell(till.refunded(PRICE, intent="pi_2"))
    assert till.balance(buyer) == (160, 0)
    assert [each[2] for each in till.lots(buyer)] == [150, 10, 150, 10]


def test_a_pending_refund_takes_nothing_and_one_that_fails_later_gives_it_again(buyer: UUID) -> None:
    till.tell(till.refunded(PRICE, status=RefundStatus.pending))
    assert till.balance(buyer) == (160, 0)
    till.tell(till.refunded(PRICE))
    assert till.balance(buyer) == (0, 0)
    till.tell(till.refunded(PRICE, status=RefundStatus.failed))
    assert till.balance(buyer) == (160, 0)
    assert _standing(buyer) == ("succeeded", 0)
    till.books_are_clean()


def test_a_dispute_takes_back_and_a_won_one_restores_exactly_that(buyer: UUID) -> None:
    till.spend(buyer, 60)
    till.tell(till.disputed(PRICE))
    assert till.balance(buyer) == (0, 60)
    assert _standing(buyer)[0] == "disputed"
    till.tell(till.disputed(PRICE, DisputeStatus.won))
    assert till.balance(buyer) == (100, 0)
    assert _standing(buyer)[0] == "succeeded"
    assert till.mail(buyer) == ["receipt", "dispute_opened", "dispute_won"]
    till.books_are_clean()


def test_a_lost_dispute_keeps_what_was_taken(buyer: UUID) -> None:
    till.tell(till.disputed(PRICE), till.disputed(PRICE, DisputeStatus.lost))
    assert till.balance(buyer) == (0, 0)
    till.books_are_clean()


def test_a_dispute_that_was_lost_before_we_looked_takes_it_all_the_same(buyer: UUID) -> None:
    till.tell(till.disputed(PRICE, DisputeStatus.lost))
    assert till.balance(buyer) == (0, 0)


def test_a_dispute_that_was_won_before_we_looked_changes_nothing(buyer: UUID) -> None:
    till.tell(till.disputed(PRICE, DisputeStatus.warning), till.disputed(PRICE, DisputeStatus.won))
    assert till.moves(buyer) == [("grant", 150), ("grant", 10)]


def test_a_dispute_after_a_refund_takes_only_what_is_left(buyer: UUID) -> None:
    till.tell(till.refunded(PRICE // 2))
    till.tell(till.disputed(PRICE))
    assert till.balance(buyer) == (0, 0)
    assert sum(amount for reason, amount in till.moves(buyer) if reason == "clawback") == -160
    till.tell(till.disputed(PRICE, DisputeStatus.won))
    assert till.balance(buyer) == (82, 0), "the refund stays"
    till.books_are_clean()


def test_a_refund_after_a_dispute_takes_nothing_twice(buyer: UUID) -> None:
    till.tell(till.disputed(PRICE), till.refunded(PRICE))
    assert till.balance(buyer) == (0, 0)
    assert sum(amount for reason, amount in till.moves(buyer) if reason == "clawback") == -160


def test_money_of_strangers_is_left_alone() -> None:
    till.open_store()
    for fact in (till.refunded(100, intent="pi_nobody"), till.disputed(100, intent="pi_nobody")):
        assert not once(follow, fact)


def test_a_refund_is_known_by_its_charge_too(buyer: UUID) -> None:
    with sessions() as session:
        found, _ = payments.page(session, user_id=buyer, limit=1)
    checkout = found[0].payment.checkout_id
    assert checkout is not None
    till.tell(till.succeeded(checkout))
    assert once(follow, till.refunded(PRICE, intent_id=None, charge_id="ch_pi_1"))
    assert till.balance(buyer) == (0, 0)


def _standing(user: UUID) -> tuple[str, int]:
    with sessions() as session:
        found, _ = payments.page(session, user_id=user, limit=1)
    return str(found[0].standing), found[0].payment.refunded
