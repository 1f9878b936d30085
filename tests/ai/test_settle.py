"""Settling for less: an action may charge what was really made, by the price it was ordered at, and never more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from models import settling
from models.catalog import Action
from models.jobs import Ending, Status
from models.kinds import Kind, parse_input
from models.ledger import Account, Reason
from tests.ai import shop
from tests.jobs import work
from tests.ledger import books
from tests.ledger.books import Parts, Sums

NewUser = Callable[..., tuple[UUID, int]]

FOX = "a red fox runs"
PER_STARTED_5: dict[str, Any] = {"form": "per_unit", "quantity": "seconds", "unit": 5, "amount": 20}
BY_RESOLUTION: dict[str, Any] = {
    "form": "rate", "quantity": "seconds", "unit": 2, "by": "resolution", "rates": {"720p": 5, "1080p": 8},
}  # fmt: skip
BY_ROW: dict[str, Any] = {
    "form": "table",
    "quantity": "seconds",
    "rows": [{"least": 5, "most": 5, "amount": 25}, {"least": 8, "most": 10, "amount": 50}],
}


def charged(
    price: Mapping[str, Any], given: Mapping[str, Any], usage: Mapping[str, int], *, held: int, percent: int = 100
) -> int:
    addons = {"music": {"title": "Music", "amount": 2}}
    offer = Action.model_validate(shop.action("video", price, charge="delivered", addons=addons))
    kept = settling.terms(offer, parse_input(Kind.video, {"prompt": FOX, **given}))
    return settling.charge(kept, held=held, usage=usage, delivered_percent=percent)


@pytest.mark.parametrize(
    ("price", "given", "made", "held", "expected"),
    [
        (PER_STARTED_5, {"seconds": 10}, 10, 40, 40),
        (PER_STARTED_5, {"seconds": 10}, 6, 40, 40),
        (PER_STARTED_5, {"seconds": 10}, 5, 40, 20),
        (PER_STARTED_5, {"seconds": 10}, 1, 40, 20),
        (PER_STARTED_5, {"seconds": 10}, 0, 40, 0),
        (PER_STARTED_5, {"seconds": 10}, -3, 40, 0),
        (PER_STARTED_5, {"seconds": 10}, 999, 40, 40),
        (BY_RESOLUTION, {"seconds": 9, "resolution": "1080p"}, 7, 40, 32),
        (BY_RESOLUTION, {"seconds": 9, "resolution": "720p"}, 7, 25, 20),
        (BY_RESOLUTION, {"seconds": 9, "addons": ["music"]}, 7, 27, 22),
        (BY_RESOLUTION, {"seconds": 9, "addons": ["music"]}, 0, 27, 0),
        # Between two rows nothing is sold: what was made is paid for as the next that is.
        (BY_ROW, {"seconds": 9}, 7, 50, 50),
        (BY_ROW, {"seconds": 9}, 5, 50, 25),
        (BY_ROW, {"seconds": 9}, 2, 50, 25),
        # Whatever was agreed, no more than is held.
        (PER_STARTED_5, {"seconds": 10}, 10, 7, 7),
    ],
)
def test_what_was_made_is_priced_as_it_was_sold(
    price: dict[str, Any], given: dict[str, Any], made: int, held: int, expected: int
) -> None:
    assert charged(price, given, {"seconds": made}, held=held) == expected


def test_a_provider_that_does_not_say_what_it_made_is_believed_by_its_percentage() -> None:
    assert charged(PER_STARTED_5, {"seconds": 10}, {"images": 1}, held=40, percent=40) == 16


@pytest.mark.usefixtures("database")
def test_a_clip_that_came_out_short_is_charged_for_its_length(new_user: NewUser) -> None:
    """4 of 10 seconds: 30 held from two lots, 12 settled, 18 released to the lot they came from; to the credit."""
    shop.open_shop(video=shop.action("video", shop.A_SECOND, charge="delivered"))
    user, wallet = new_user(25)
    gift = books.lot(wallet, 10, ref="gift")
    bought = books.lots(wallet)[0]
    job_id = shop.ordered(user, "video", {"prompt": "a fox [mock:underrun]", "seconds": 10})
    shop.open_shop(video=shop.action("video", {"form": "fixed", "amount": 99}))  # what was sold is sold
    before = len(books.moves(wallet))
    shop.run(job_id)
    row = work.job(job_id)
    assert (row.status, row.usage, work.cost(job_id)) == (Status.completed, {"seconds": 4}, (30, 12, 18))
    held, spent, available = Account.held, Account.spent, Account.available
    assert [(move.reason, move.amount, move.source, move.target) for move in books.moves(wallet, but=before)] == [
        (Reason.settle, 10, held, spent),
        (Reason.settle, 2, held, spent),
        (Reason.release, 18, held, available),
    ]
    assert books.sums(wallet) == Sums(23, 0, 0)
    assert (books.parts(gift), books.parts(bought)) == (Parts(spent=10), Parts(available=23, spent=2))
    assert [(each.ending, each.usage) for each in shop.attempts(job_id)] == [(Ending.completed, {"seconds": 4})]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("charge", "marker", "expected"),
    [
        ("delivered", "", (30, 30, 0)),
        ("delivered", "[mock:overrun]", (30, 30, 0)),
        ("ordered", "[mock:underrun]", (30, 12, 18)),
        ("ordered", "", (30, 30, 0)),
    ],
)
def test_never_more_than_was_held(new_user: NewUser, charge: str, marker: str, expected: tuple[int, int, int]) -> None:
    shop.open_shop(video=shop.action("video", shop.A_SECOND, charge=charge))
    user, wallet = new_user(40)
    job_id = shop.ordered(user, "video", {"prompt": f"a fox {marker}", "seconds": 10})
    shop.run(job_id)
    assert work.cost(job_id) == expected
    assert books.sums(wallet) == Sums(40 - expected[1], 0, 0)
    assert work.job(job_id).settling is None if charge == "ordered" else work.job(job_id).settling


@pytest.mark.usefixtures("database")
def test_speech_is_charged_for_what_is_spoken_and_held_for_what_was_estimated(new_user: NewUser) -> None:
    shop.open_shop(speech=shop.action("speech", shop.A_SECOND, charge="delivered"))
    user, wallet = new_user(1_000)
    job_id = shop.ordered(user, "speech", {"text": "Good morning. " * 40})
    held = work.job(job_id).held
    shop.run(job_id)
    spoken = (work.job(job_id).usage or {})["seconds"]
    assert work.cost(job_id) == (held, min(held, 3 * spoken), max(held - 3 * spoken, 0))
    assert books.sums(wallet) == Sums(1_000 - min(held, 3 * spoken), 0, 0)


@pytest.mark.usefixtures("sqlite")
def test_users_are_told_how_they_are_charged(app: Flask) -> None:
    shop.open_shop(
        clip=shop.action("video", shop.A_SECOND, charge="delivered"), film=shop.action("video", shop.A_SECOND)
    )
    listed = (app.test_client().get("/v1/actions").json or {})["actions"]
    assert [(each["name"], each["charge"]) for each in listed] == [("clip", "delivered"), ("film", "ordered")]


def test_the_terms_are_good_for_a_row_of_any_database() -> None:
    """They are plain JSON, and an action that charges what was ordered keeps none."""
    offer = Action.model_validate(shop.action("video", BY_RESOLUTION, charge="delivered"))
    given = parse_input(Kind.video, {"prompt": FOX, "seconds": 9})
    assert settling.terms(offer, given) == {
        "price": BY_RESOLUTION, "quantities": {"seconds": 9}, "choices": {"resolution": "720p"}, "addons": 0,
    }  # fmt: skip
    assert settling.terms(offer.model_copy(update={"charge": "ordered"}), given) is None
