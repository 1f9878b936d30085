"""The pages behind the links in e-mails: looking uses nothing up, the button does, and the token goes nowhere else."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from models.one_time_tokens import Purpose
from tests.accounts.people import (
    OTHER_PASSWORD,
    WRONG,
    change,
    code_of,
    join,
    let_links_run_out,
    link,
    log_in,
    user_of,
    verified,
)
from tests.http.conftest import Caller
from tests.http.offers import sell

PATHS = {
    "/verify-email": Purpose.verify_email,
    "/reset-password": Purpose.reset_password,
    "/confirm-email": Purpose.change_email,
}
POLICY = r"default-src 'none'; style-src 'nonce-(\S+)'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
each_page = pytest.mark.parametrize("path", PATHS)


@each_page
def test_a_link_can_be_looked_at_any_number_of_times_and_used_once(client: FlaskClient, path: str) -> None:
    token = link(_caller(client, path), PATHS[path])
    for _ in range(2):
        assert client.head(path, query_string={"token": token}).status_code == 200
        shown = _look(client, path, token)
        assert shown.status_code == 200
    done = _press(client, shown)
    assert done.status_code == 200
    assert "Thank you" in done.text or "Your password is changed" in done.text
    again, once_more = _press(client, shown), _look(client, path, token)
    assert (again.status_code, once_more.status_code) == (410, 410)
    assert "This link is not good any more" in again.text
    assert "This link was used before" in once_more.text


def test_each_page_does_what_it_says(client: FlaskClient) -> None:
    caller = join(client)
    _press(client, _look(client, "/verify-email", link(caller)))
    assert user_of(caller).verified_at is not None
    _press(client, _look(client, "/reset-password", link(caller, Purpose.reset_password)))
    assert code_of(log_in(client)) == WRONG
    assert log_in(client, password=OTHER_PASSWORD).status_code == 200
    caller.email = "new@example.com"
    _press(client, _look(client, "/confirm-email", link(caller, Purpose.change_email)))
    assert user_of(caller).email == "new@example.com"


@each_page
def test_a_bad_link_has_no_button(client: FlaskClient, path: str) -> None:
    token = link(_caller(client, path), PATHS[path])
    other = link(join(client, "bob@example.com"), next(p for p in Purpose if p is not PATHS[path]))
    shown = _look(client, path, token)
    answers = [_look(client, path, each) for each in ("", "x" * 43, '"><script>alert(1)</script>', other)]
    let_links_run_out()
    for answer in (*answers, client.get(path), _look(client, path, token), _press(client, shown)):
        assert (answer.status_code, "<form" in answer.text, "<script" in answer.text) == (410, False, False)
        assert "This link is not good any more" in answer.text


def test_two_accounts_with_one_address_are_told_apart_in_plain_words(client: FlaskClient) -> None:
    late = join(client)
    shown = _look(client, "/verify-email", link(late))
    verified(client, password=OTHER_PASSWORD)
    refused = _press(client, shown)
    assert refused.status_code == 410
    assert "This address belongs to another account by now" in refused.text


@pytest.mark.parametrize(
    ("password", "again", "said"),
    [
        ("short", "short", "Use 10 to 128 characters."),
        ("x" * 129, "x" * 129, "Use 10 to 128 characters."),
        ("long enough", "not the same", "The two are not the same. Type both again."),
        ("", "", "Use 10 to 128 characters."),
    ],
)
def test_a_password_that_cannot_be_used_is_asked_for_again(
    client: FlaskClient, password: str, again: str, said: str
) -> None:
    token = link(verified(client), Purpose.reset_password)
    answer = client.post("/reset-password", data={"token": token, "password": password, "again": again})
    assert (answer.status_code, said in answer.text) == (422, True)
    assert password not in answer.text or not password
    assert _press(client, answer).status_code == 200


@each_page
def test_a_page_loads_nothing_and_tells_nobody_its_address(client: FlaskClient, path: str) -> None:
    token = link(_caller(client, path), PATHS[path])
    for answer in (_look(client, path, token), _look(client, path, "x"), client.post(path, data={"token": "x"})):
        assert answer.content_type == "text/html; charset=utf-8"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        policy = re.fullmatch(POLICY, answer.headers["Content-Security-Policy"])
        assert policy is not None
        assert f'<style nonce="{policy.group(1)}">' in answer.text
        assert re.findall(r"""(?:src|href|url\(|@import)[=("' ]*([^"') >]+)""", answer.text) == []
    first, second = (_look(client, path, token).headers["Content-Security-Policy"] for _ in range(2))
    assert first != second, "a nonce is for one answer"


def test_a_form_is_short_and_a_form(client: FlaskClient) -> None:
    token = link(verified(client), Purpose.reset_password)
    form = {"token": token, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD}
    assert client.post("/reset-password", data={**form, "more": "x" * 20_000}).status_code == 413
    assert client.post("/reset-password", json=form).status_code in (410, 415, 422)
    assert client.post("/reset-password", data=form).status_code == 200


def test_a_page_is_called_as_the_product_is_and_leads_to_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_URL", "https://shop.example.com/start")
    settings.cache_clear()
    sell(title='Corner <shop> & "more"')
    shown = _look(client, "/verify-email", link(join(client)))
    assert 'Corner <shop> & "more"' in unescape(shown.text)
    assert "<shop>" not in shown.text
    assert 'href="https://shop.example.com/start"' in _press(client, shown).text


def test_who_tries_too_often_is_told_so_on_a_page(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_RATE_LIMIT", "1 per minute")
    settings.cache_clear()
    _look(client, "/verify-email", "x")
    answer = _look(client, "/verify-email", "x")
    assert (answer.status_code, answer.content_type) == (429, "text/html; charset=utf-8")
    assert 0 < int(answer.headers["Retry-After"]) <= 60


class _Form(HTMLParser):
    """The form of a page: where it goes, and its fields as they are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        if tag == "form":
            assert has["method"] == "post"
            self.action = has["action"] or ""
        elif tag == "input":
            self.fields[has["name"] or ""] = has.get("value") or ""


def _look(client: FlaskClient, path: str, token: str) -> TestResponse:
    return client.get(path, query_string={"token": token})


def _press(client: FlaskClient, shown: TestResponse) -> TestResponse:
    """Fill the form in with a new password, if it asks for one, and press its button."""
    form = _Form(shown.text)
    typed = {name: OTHER_PASSWORD for name in ("password", "again") if name in form.fields}
    return client.post(form.action, data={**form.fields, **typed})


def _caller(client: FlaskClient, path: str) -> Caller:
    caller = join(client)
    if path == "/confirm-email":
        change(caller, email="old@example.com")
    return caller
