"""Writing: who gets a mail, and what it says, by what is true when it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, update

from config import settings
from models import emails, one_time_tokens
from models.database import now, sessions
from models.emails import Email, EmailState, Letter, Template
from models.errors import TokenNotGood
from models.one_time_tokens import OneTimeToken, Purpose
from models.users import User
from tests.mail.conftest import make_due, new_account, row, stage, state

pytestmark = pytest.mark.usefixtures("database")

ZOE = "zoe@example.com"


def write(email_id: UUID) -> Letter | None:
    """What a worker that claims this mail now is to send; None, and the mail has ended, if nothing."""
    with sessions() as session:
        claim = emails.claim(session, email_id, lease_seconds=60)
        assert claim is not None
    with sessions() as session:
        letter = emails.write(session, claim)
    assert (row(email_id).state is EmailState.queued) is (letter is not None)
    return letter


def written(email_id: UUID) -> Letter:
    letter = write(email_id)
    assert letter is not None, state(email_id)
    return letter


def dropped(email_id: UUID) -> str | None:
    """Why nobody gets this mail."""
    assert write(email_id) is None
    found, trouble = state(email_id)
    assert found is EmailState.dropped
    return trouble


def token_of(letter: Letter) -> str:
    link: str = letter.facts["link"]
    return link.partition("?token=")[2]


def use(token: str, purpose: Purpose) -> OneTimeToken:
    with sessions() as session:
        return one_time_tokens.use(session, token, purpose=purpose)


def set_user(user_id: UUID, **values: Any) -> None:
    with sessions() as session:
        session.execute(update(User).where(User.id == user_id).values(**values))


# -- proving to have an address


def test_a_new_address_gets_a_link_that_verifies_it() -> None:
    user_id = new_account(verified=False, email=ZOE, name="Zoë")
    letter = written(stage("verify_address", user_id=user_id))
    assert (letter.template, letter.recipient, letter.settings_link) == (Template.verify_address, ZOE, None)
    assert letter.facts["product"] == "Coinop"
    assert letter.facts["link"].startswith(f"{settings().public_url}/verify-email?token=")
    assert letter.facts["link_seconds"] == 3 * 86_400
    assert letter.name is None, "somebody may have named a stranger's address, and chosen the words"
    assert use(token_of(letter), Purpose.verify_email).user_id == user_id


def test_links_lead_to_the_front_end_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_URL", "https://app.example.com/shop/")
    settings.cache_clear()
    letter = written(stage("verify_address", user_id=new_account(verified=False)))
    assert letter.facts["link"].startswith("https://app.example.com/shop/verify-email?token=")
    assert letter.facts["home"] == "https://app.example.com/shop"


def test_an_address_that_was_verified_meanwhile_needs_no_link() -> None:
    assert dropped(stage("verify_address", user_id=new_account())) == "verified"
    new_account(email=ZOE)
    assert dropped(stage("verify_address", recipient=ZOE)) == "verified"


def test_an_address_of_another_account_is_told_so() -> None:
    new_account(email=ZOE)
    user_id = new_account(verified=False, email=ZOE)
    for given in ({"user_id": user_id}, {"recipient": ZOE}):
        letter = written(stage("verify_address", **given))
        assert (letter.template, letter.recipient) == (Template.already_registered, ZOE)
        assert "link" not in letter.facts
    with sessions() as session:
        assert session.query(OneTimeToken).count() == 0


def test_whoever_asks_again_has_the_newest_account_verified() -> None:
    new_account(verified=False, email=ZOE)
    newest = new_account(verified=False, email=ZOE)
    letter = written(stage("verify_address", recipient=ZOE))
    assert letter.template is Template.verify_address
    assert use(token_of(letter), Purpose.verify_email).user_id == newest
    assert dropped(stage("verify_address", recipient="nobody@example.com")) == "nobody"


def test_an_account_that_closes_is_sent_no_link() -> None:
    user_id = new_account(verified=False, email=ZOE)
    set_user(user_id, closing_at=now())
    assert dropped(stage("verify_address", user_id=user_id)) == "nobody"
    assert dropped(stage("verify_address", recipient=ZOE)) == "nobody"
    assert dropped(stage("reset_password", recipient=ZOE)) == "nobody"
    assert dropped(stage("confirm_new_address", user_id=user_id, recipient="new@example.com")) == "nobody"


def test_a_password_is_reset_by_whoever_has_the_address() -> None:
    named = new_account(verified=False, email=ZOE)
    letter = written(stage("reset_password", recipient=ZOE))
    assert use(token_of(letter), Purpose.reset_password).user_id == named
    owner = new_account(email=ZOE)
    letter = written(stage("reset_password", recipient=ZOE))
    assert letter.facts["link"].startswith(f"{settings().public_url}/reset-password?token=")
    assert letter.facts["link_seconds"] == 3600
    assert use(token_of(letter), Purpose.reset_password).user_id == owner


def test_nobody_is_told_of_a_password_that_is_nobody_s() -> None:
    email_id = stage("reset_password", recipient="nobody@example.com")
    assert dropped(email_id) == "nobody"
    assert row(email_id).recipient is None


def test_a_reset_goes_to_the_address_on_record_and_no_other() -> None:
    """A letter that becomes another in lower case: the mailbox that was typed may be a stranger's."""
    new_account(email="mike@example.com")
    kelvin = "mi\u212ae@example.com"
    assert kelvin.lower() == "mike@example.com"
    letter = written(stage("reset_password", recipient=kelvin))
    assert letter.recipient == "mike@example.com"


def test_a_new_address_is_proved_by_its_reader() -> None:
    user_id = new_account(email=ZOE, name="Zoë")
    letter = written(stage("confirm_new_address", user_id=user_id, recipient="new@example.com"))
    assert (letter.template, letter.recipient, letter.name) == (Template.confirm_new_address, "new@example.com", None)
    assert letter.facts["link"].startswith(f"{settings().public_url}/confirm-email?token=")
    used = use(token_of(letter), Purpose.change_email)
    assert (used.user_id, used.email) == (user_id, "new@example.com")


def test_a_new_address_that_is_taken_is_told_so() -> None:
    new_account(email="taken@example.com")
    user_id = new_account(email=ZOE)
    letter = written(stage("confirm_new_address", user_id=user_id, recipient="taken@example.com"))
    assert (letter.template, letter.recipient) == (Template.already_registered, "taken@example.com")
    assert "link" not in letter.facts
    assert dropped(stage("confirm_new_address", user_id=user_id, recipient=ZOE)) == "verified"


# -- a link is the same however often it is sent, and never comes back


@pytest.mark.parametrize("template", ["verify_address", "reset_password"])
def test_a_second_attempt_has_the_same_link(template: str) -> None:
    new_account(verified=False, email=ZOE)
    email_id = stage(template, recipient=ZOE)
    first = written(email_id)
    make_due(email_id)
    assert written(email_id) == first


def test_a_link_that_was_used_is_not_sent_again() -> None:
    new_account(email=ZOE)
    email_id = stage("reset_password", recipient=ZOE)
    use(token_of(written(email_id)), Purpose.reset_password)
    make_due(email_id)
    assert dropped(email_id) == "link_used"


def test_a_link_whose_token_is_forgotten_is_not_made_anew() -> None:
    """Tokens are deleted when their time is over: one made again would be good again, used or not."""
    new_account(email=ZOE)
    email_id = stage("reset_password", recipient=ZOE)
    token = token_of(written(email_id))
    use(token, Purpose.reset_password)
    with sessions() as session:
        session.execute(delete(OneTimeToken))
        session.execute(update(Email).values(created_at=now(-3601)))
    make_due(email_id)
    assert dropped(email_id) == "link_expired"
    with pytest.raises(TokenNotGood):
        use(token, Purpose.reset_password)


def test_a_link_is_not_sent_when_its_time_is_over() -> None:
    new_account(email=ZOE)
    email_id = stage("reset_password", recipient=ZOE)
    written(email_id)
    with sessions() as session:
        session.execute(update(OneTimeToken).values(created_at=now(-3601), expires_at=now(-1)))
    make_due(email_id)
    assert dropped(email_id) == "link_expired"


def test_a_first_attempt_that_comes_late_has_a_fresh_link() -> None:
    new_account(email=ZOE)
    email_id = stage("reset_password", recipient=ZOE)
    with sessions() as session:
        session.execute(update(Email).values(created_at=now(-7200)))
    use(token_of(written(email_id)), Purpose.reset_password)


def test_a_link_is_not_sent_to_another_address_than_before() -> None:
    user_id = new_account(verified=False, email=ZOE)
    email_id = stage("verify_address", user_id=user_id)
    written(email_id)
    set_user(user_id, email="other@example.com")
    make_due(email_id)
    assert dropped(email_id) == "link_used"


# -- telling what happened


def test_what_happened_is_told_to_the_address_of_now() -> None:
    user_id = new_account(email="old@example.com", name="Zoë")
    email_id = stage("password_changed", user_id=user_id)
    set_user(user_id, email=ZOE)
    letter = written(email_id)
    assert (letter.recipient, letter.name, letter.created_at) == (ZOE, "Zoë", row(email_id).created_at)


def test_the_old_address_is_told_of_the_new_one_without_naming_anybody() -> None:
    letter = written(stage("address_changed", user_id=new_account(name="Zoë"), recipient="old@example.com"))
    assert (letter.recipient, letter.name) == ("old@example.com", None)


def test_what_happens_to_an_account_is_no_business_of_whose_address_it_names() -> None:
    new_account(email=ZOE)
    stranger = new_account(verified=False, email=ZOE)
    assert dropped(stage("password_changed", user_id=stranger)) == "somebody_else"
    set_user(stranger, email="moved@example.com")
    assert dropped(stage("address_changed", user_id=stranger, recipient=ZOE)) == "somebody_else"
    assert written(stage("password_changed", user_id=stranger)).recipient == "moved@example.com"


def test_a_closed_account_has_no_address_any_more() -> None:
    user_id = new_account()
    email_id = stage("welcome", user_id=user_id)
    set_user(user_id, email=None, password_hash=None, closing_at=now(), closed_at=now())
    assert dropped(email_id) == "nobody"
    assert written(stage("account_closed", recipient=ZOE)).recipient == ZOE


@pytest.mark.parametrize(
    "column",
    [{"notices_by_mail": False}, {"verified_at": None}, {"closing_at": now()}],
    ids=lambda each: next(iter(each)),
)
def test_notices_go_to_who_wants_them_and_has_the_address(column: dict[str, Any]) -> None:
    user_id = new_account()
    email_id = stage("low_balance", user_id=user_id, wallet="credits", amount=3)
    letter = written(email_id)
    assert letter.settings_link == f"{settings().public_url}/docs"
    set_user(user_id, **column)
    make_due(email_id)
    assert dropped(email_id) == "not_wanted"
    if "notices_by_mail" in column:
        assert written(stage("password_changed", user_id=user_id)).settings_link is None


def test_credits_have_their_titles() -> None:
    details: dict[str, Any] = {"title": "Small", "price": {"amount": 499, "currency": "EUR"}, "reference": "1"}
    letter = written(
        stage("receipt", user_id=new_account(), credits={"credits": 100, "gone": 5}, bonus={"credits": 10}, **details)
    )
    assert letter.facts["credits"] == [{"title": "Credits", "amount": 100}, {"title": "gone", "amount": 5}]
    assert letter.facts["bonus"] == [{"title": "Credits", "amount": 10}]
    assert letter.facts["price"] == details["price"]


# -- staging


def test_one_fact_is_one_mail() -> None:
    user_id = new_account()
    with sessions() as session:
        outcomes = [
            emails.stage(session, key=key, template="welcome", user_id=user_id) for key in ("one", "one", "other")
        ]
        assert outcomes == [True, False, True]
        assert session.query(Email).count() == 2


def test_a_mail_without_what_it_needs_is_not_staged() -> None:
    user_id = new_account()
    with sessions() as session, pytest.raises(ValueError, match="without price, reference, title"):
        emails.stage(session, key="1", template="receipt", user_id=user_id)
    with sessions() as session, pytest.raises(ValueError, match="no_such_template"):
        emails.stage(session, key="1", template="no_such_template", user_id=user_id)


def test_what_cannot_be_written_is_tried_again(mail_anywhere: Callable[[UUID], None]) -> None:
    email_id = stage("welcome", user_id=new_account())
    with mock.patch.object(emails, "write", side_effect=KeyError):
        mail_anywhere(email_id)
    assert state(email_id) == (EmailState.queued, "internal_error KeyError")
    make_due(email_id)
    mail_anywhere(email_id)
    assert row(email_id).state is EmailState.sent


def test_a_mail_that_is_not_there_is_no_error(mail_anywhere: Callable[[UUID], None]) -> None:
    mail_anywhere(uuid4())
