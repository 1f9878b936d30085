"""The mock gateway's pages, as a browser without scripts uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import PaymentsMode, settings
from models.payments.facts import DisputeFact, DisputeStatus, Fact, IntentStatus, PageStatus, SubscriptionStatus
from tests.payments.gateways.conftest import SHOP, World, pack, plan
from tests.payments.hands import Hands
from tests.plans.clock import utc
from web import mock_checkout
from web.mock_checkout import CARDS, CAREFUL_CARD, DECLINED_CARD
from worker.payments.gateway import Sale
from worker.payments.mock import MockGateway
from worker.payments.mock.cards import CARDS as KNOWN_CARDS
from worker.payments.mock.cards import FAILS_LATER, GOOD


@pytest.fixture
def database(sqlite: str) -> str:
    """One of the two: the pages only show what the gateway has, and that is tested on both."""
    return sqlite


class Browser:
    """Opens pages and presses what is on them."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self.text = ""
        self.headers: dict[str, str] = {}

    def open(self, path: str) -> str:
        answer = self._client.get(path.removeprefix(settings().public_url))
        assert answer.status_code == 200, answer.text
        self.text, self.headers = answer.text, dict(answer.headers)
        return self.text

    def press(self, label: str) -> str:
        """Press a button of the page that is open; the page it leads to is open then, unless it is not ours."""
        buttons = re.findall(r'<button[^>]*formaction="([^"]+)"[^>]*>([^<]+)</button>', self.text)
        [target] = [target for target, text in buttons if text == label]
        answer: TestResponse = self._client.post(target)
        assert answer.status_code == 303, answer.text
        leads_to = answer.headers["Location"]
        if leads_to.startswith("/"):
            self.open(leads_to)
        return leads_to


@pytest.fixture
def browser(client: FlaskClient, hands: Hands) -> Iterator[Browser]:
    """A worker does its work while the page waits."""
    with mock.patch.object(mock_checkout, "wait_for", side_effect=lambda look, done: hands.work()):
        yield Browser(client)


@pytest.fixture
def house(browser: Browser) -> World:
    return World(MockGateway())


def _opened(house: World, browser: Browser, sale: Sale | None = None) -> str:
    page = house.page(house.customer(), sale)
    browser.open(page.url)
    return page.id


def test_a_page_shows_what_is_sold_and_the_cards_to_try(house: World, browser: Browser) -> None:
    _opened(house, browser, pack(amount=123456, currency="EUR"))
    assert "<h1>Starter</h1>" in browser.text
    assert "1234.56 EUR" in browser.text
    assert all(number[:4] in browser.text and what in browser.text for number, what in CARDS)
    assert browser.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in browser.text
    _opened(house, browser, pack(amount=500, currency="JPY"))
    assert "500 JPY" in browser.text


def test_a_title_is_text_and_nothing_else(house: World, browser: Browser) -> None:
    sale = pack()
    _opened(house, browser, Sale(sale.checkout_id, "<script>alert(1)</script>", sale.price))
    assert "<script" not in browser.text
    assert "&lt;script&gt;" in browser.text


def test_paying_leads_to_the_shop(house: World, browser: Browser) -> None:
    page_id = _opened(house, browser)
    assert browser.press("Pay") == f"{SHOP}/thanks"
    assert house.gateway.page(page_id).paid
    assert "This is paid." in browser.open(f"/mock-checkout/{page_id}")


def test_the_shop_can_be_told_which_page_it_was(house: World, browser: Browser) -> None:
    sale = pack()
    page = house.gateway.open_page(
        sale, customer_id=house.customer(), success_url=f"{SHOP}/thanks?of={{CHECKOUT_SESSION_ID}}",
        cancel_url=SHOP, key="checkout:1",
    )  # fmt: skip
    browser.open(page.url)
    assert browser.press("Pay") == f"{SHOP}/thanks?of={page.id}"


def test_a_card_can_be_chosen(house: World, browser: Browser) -> None:
    page_id = _opened(house, browser)
    assert f'href="?card={FAILS_LATER}"' in browser.text
    browser.open(f"/mock-checkout/{page_id}?card={FAILS_LATER}")
    browser.press("Pay")
    assert "(generic_decline) Try another card." in browser.text
    assert browser.press("Pay") == f"{SHOP}/thanks"


def test_being_declined_leaves_the_page_open(house: World, browser: Browser) -> None:
    page_id = _opened(house, browser)
    browser.press("Be declined")
    assert "Your card was declined." in browser.text
    assert house.gateway.page(page_id).status is PageStatus.open


def test_authentication_is_a_step_of_its_own(house: World, browser: Browser) -> None:
    page_id = _opened(house, browser)
    browser.press("Need authentication")
    assert "Your bank wants to hear from you" in browser.text
    browser.press("Fail to authenticate")
    assert "Your bank could not make sure that it is you." in browser.text
    browser.press("Need authentication")
    assert browser.press("It is me") == f"{SHOP}/thanks"
    assert house.gateway.page(page_id).paid


def test_abandoning_leads_back_and_ends_it(house: World, browser: Browser) -> None:
    page_id = _opened(house, browser)
    assert browser.press("Abandon") == f"{SHOP}/pity"
    assert house.gateway.page(page_id).status is PageStatus.expired
    assert "This can no longer be paid." in browser.open(f"/mock-checkout/{page_id}")


@pytest.mark.parametrize(("label", "paid"), [("Let the money arrive", True), ("Let it come to nothing", False)])
def test_a_debit_takes_days(house: World, browser: Browser, label: str, paid: bool) -> None:
    page_id = _opened(house, browser)
    browser.press("Pay by debit, which takes days")
    assert "The debit is on its way." in browser.text
    browser.press(label)
    fact = house.gateway.page(page_id)
    assert (fact.paid, fact.failed) == (paid, not paid)


def test_a_payment_of_the_front_ends_own_form_has_a_page_too(house: World, browser: Browser) -> None:
    opened = house.gateway.open_intent(pack(), customer_id=house.customer(), key="checkout:1")
    browser.open(f"/mock-checkout/{opened.id}")
    browser.press("Be declined")
    browser.press("Pay")
    assert "This is paid." in browser.text
    assert house.gateway.intent(opened.id).status is IntentStatus.succeeded


def test_the_portal_changes_cards_and_lets_time_pass(house: World, browser: Browser) -> None:
    customer = house.customer()
    fact = house.subscribed(customer, plan())
    portal = house.gateway.portal(customer_id=customer, return_url=SHOP)
    browser.open(f"{portal}?card={FAILS_LATER}")
    assert "<h2>Basic</h2>" in browser.text
    assert "15.00 USD each month" in browser.text
    assert "visa that ends in 4242" in browser.text
    browser.press("Use this card from now on")
    assert "visa that ends in 0341" in browser.text
    browser.press("Let the period end now")
    assert "<b>past_due</b>" in browser.text
    browser.press("Use this card from now on")
    browser.open(f"/mock-checkout/{house.gateway.subscription(fact.id).latest_invoice_id}")
    assert "<b>open</b>" in browser.text
    browser.press("Pay now with the saved card")
    assert "<b>paid</b>" in browser.text
    assert house.gateway.subscription(fact.id).status is SubscriptionStatus.active


def test_attempts_at_an_open_invoice_can_be_had_at_once_until_there_are_no_more(house: World, browser: Browser) -> None:
    customer = house.customer()
    fact = house.subscribed(customer, plan())
    browser.open(f"{house.gateway.portal(customer_id=customer, return_url=SHOP)}?card={FAILS_LATER}")
    browser.press("Use this card from now on")
    browser.press("Let the period end now")
    browser.open(f"/mock-checkout/{house.gateway.subscription(fact.id).latest_invoice_id}")
    for _ in range(3):
        assert "The card is tried again on" in browser.text
        browser.press("Let the next attempt come now")
    assert "The card is not tried again." in browser.text
    assert "Let the next attempt come now" not in browser.text
    assert house.gateway.subscription(fact.id).status is SubscriptionStatus.canceled


def test_a_receipt_lets_the_bank_take_the_money_back(house: World, browser: Browser) -> None:
    intent = house.gateway.intent(house.bought(house.customer()).intent_id or "")
    browser.open(intent.receipt_url or "")
    browser.press("Dispute it")
    assert "<b>needs_response</b>" in browser.text
    browser.press("Let the shop win the dispute")
    assert "<b>won</b>" in browser.text
    browser.press("Give it all back")
    assert "9.99 USD went back" in browser.text
    [dispute] = [fact for fact in _facts(house) if isinstance(fact, DisputeFact)]
    assert dispute.status is DisputeStatus.won
    assert "Give it all back" not in browser.text


def test_only_what_has_a_page_has_one(house: World, browser: Browser, client: FlaskClient) -> None:
    page_id = _opened(house, browser)
    customer = house.gateway.page(page_id).customer_id
    for object_id in ("cs_mock_missing", customer, "evt_mock_1"):
        assert client.get(f"/mock-checkout/{object_id}").status_code == 404
    for path in (f"{page_id}/renew", f"{page_id}/steal", f"{customer}/save", "cs_mock_missing/pay"):
        assert client.post(f"/mock-checkout/{path}").status_code == 404
    # A number that is no test card's, and a second press of the same button, do nothing.
    assert client.post(f"/mock-checkout/{page_id}/pay?card=4111111111111111").status_code == 303
    assert house.gateway.page(page_id).status is PageStatus.open
    for _ in range(2):
        client.post(f"/mock-checkout/{page_id}/pay?card={GOOD}")
    assert house.told().count("checkout.session.completed") <= 1
    assert house.gateway.page(page_id).paid


def test_the_page_offers_cards_that_the_bank_knows() -> None:
    assert all(KNOWN_CARDS[number].title == what for number, what in CARDS)
    assert {DECLINED_CARD, CAREFUL_CARD} <= set(KNOWN_CARDS)


def test_the_pages_are_not_there_when_stripe_takes_the_payments() -> None:
    for mode, there in ((PaymentsMode.stripe, False), (PaymentsMode.mock, True)):
        app = Flask("elsewhere")
        with mock.patch.object(
            mock_checkout, "settings", lambda m=mode: settings().model_copy(update={"payments_mode": m})
        ):
            mock_checkout.register(app)
        assert any(rule.rule.startswith("/mock-checkout") for rule in app.url_map.iter_rules()) is there


def test_who_comes_back_from_a_checkout_finds_a_page(client: FlaskClient) -> None:
    assert "Thank you" in client.get("/checkout/success").text
    assert "Nothing was bought" in client.get("/checkout/canceled").text


def _facts(house: World) -> list[Fact]:
    return list(house.gateway.changes_since(utc(2026, 1, 1)))
